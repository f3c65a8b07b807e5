// Codes of rows that several processes share equal those of one process with all rows, and so does the loss. Run by
// mpirun with 1, 2 or 3 processes; the shares are uneven, and one process may have none. Out: 0, or 1 and what differs.
#include <algorithm>
#include <cmath>
#include <limits>

#include "sharded.hpp"
#include "swav/core/philox.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"

namespace {

using namespace swav;
using namespace swav::test;

template <class Scalar>
RowMatrix<Scalar> scores_of_all() {
  PhiloxStream random(7, 0);
  RowMatrix<Scalar> scores(50, 13);
  for (Index i = 0; i < scores.size(); ++i) scores.data()[i] = static_cast<Scalar>(random.uniform(-1.0, 1.0));
  return scores;
}

template <class Scalar>
void shares_equal_the_whole(const MpiCommunicator& group, SinkhornOptions options, double tolerance, const char* what) {
  const RowMatrix<Scalar> all = scores_of_all<Scalar>();
  const Index first = first_row(group.rank(), group.size(), all.rows());
  const Index count = first_row(group.rank() + 1, group.size(), all.rows()) - first;
  const RowMatrix<Scalar> expected = Sinkhorn<Scalar>(options).codes(all);
  const RowMatrix<Scalar> mine = all.middleRows(first, count);
  Sinkhorn<Scalar, EigenDevice, MpiCommunicator> sharded(options, EigenDevice(1), group);
  const RowMatrix<Scalar> codes = sharded.codes(mine);
  double difference = 0;
  for (Index b = 0; b < count; ++b)
    for (Index k = 0; k < all.cols(); ++k)
      difference = std::max(difference,
                            std::abs(static_cast<double>(codes(b, k)) - static_cast<double>(expected(first + b, k))));
  check(difference <= tolerance, what, group);
}

void bad_input_in_one_process_is_an_error_in_all(const MpiCommunicator& group) {
  Sinkhorn<double, EigenDevice, MpiCommunicator> sharded({}, EigenDevice(1), group);
  const bool last = group.rank() == group.size() - 1;
  RowMatrix<double> scores = RowMatrix<double>::Constant(4, 3, 0.5);
  if (last) scores(1, 1) = std::numeric_limits<double>::quiet_NaN();
  check(throws_invalid_input([&] { (void)sharded.codes(scores); }), "a NaN passed", group);
  const RowMatrix<double> odd = RowMatrix<double>::Zero(4, last ? 5 : 3);
  check(throws_invalid_input([&] { (void)sharded.codes(odd); }) == (group.size() > 1), "unequal columns", group);
  const RowMatrix<double> none(0, 3);
  check(throws_invalid_input([&] { (void)sharded.codes(none); }), "no rows anywhere passed", group);
  check(!throws_invalid_input([&] { (void)sharded.codes(RowMatrix<double>(RowMatrix<double>::Zero(4, 3))); }),
        "fails afterwards", group);
}

void run(const MpiCommunicator& group) {
  shares_equal_the_whole<double>(group, {.epsilon = 0.05}, 1e-13, "double, scaling");
  shares_equal_the_whole<double>(group, {.epsilon = 1e-3}, 1e-13, "double, log domain");
  shares_equal_the_whole<float>(group, {.epsilon = 0.05}, 1e-6, "float, scaling");
  shares_equal_the_whole<float>(group, {.epsilon = 1e-2}, 1e-6, "float, log domain");
  shares_equal_the_whole<double>(group, {.epsilon = 0.05, .max_iterations = 1}, 1e-13, "one iteration");
  shares_equal_the_whole<double>(group, {.epsilon = 0.05, .hard_codes = true}, 0, "hard codes");
  bad_input_in_one_process_is_an_error_in_all(group);
  loss_of_shares(group);
}

}  // namespace

int main(int argc, char** argv) { return run_by_mpi(argc, argv, run); }
