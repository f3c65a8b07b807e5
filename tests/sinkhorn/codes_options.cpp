// What codes can be asked for beyond SwAV's own: hard ones, those of a batch behind a queue, unequal prototypes.
// In: synthetic scores. Out: checks.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "devices.hpp"
#include "problems.hpp"
#include "scalars.hpp"
#include "tolerance.hpp"

using swav::Index;
using swav::InvalidInput;
using swav::MatrixView;
using swav::RowMatrix;
using namespace swav::test;

TEST_CASE_TEMPLATE("hard codes are one-hot where the soft ones are largest", Scalar, SWAV_DEVICE_SCALARS) {
  Generator generator(20);
  const RowMatrix<Scalar> scores = converted<Scalar>(random_scores(40, 133, generator));
  for (const double epsilon : {0.05, 1e-4}) {  // the scaling and the log domain
    const RowMatrix<double> soft = converted<double>(Sinkhorn<Scalar>{{.epsilon = epsilon}}.codes(scores));
    const RowMatrix<double> hard =
        converted<double>(Sinkhorn<Scalar>{{.epsilon = epsilon, .hard_codes = true}}.codes(scores));
    for (Index b = 0; b < soft.rows(); ++b) {
      Index largest = 0;
      soft.row(b).maxCoeff(&largest);
      CHECK(hard(b, largest) == 1);
      CHECK(hard.row(b).cwiseAbs().sum() == 1);
    }
  }
}

TEST_CASE_TEMPLATE("codes of the last rows are the last rows of all codes", Scalar, SWAV_DEVICE_SCALARS) {
  Generator generator(21);
  const RowMatrix<Scalar> scores = converted<Scalar>(random_scores(37, 20, generator));
  for (const double epsilon : {0.05, 1e-4}) {
    Sinkhorn<Scalar> sinkhorn{{.epsilon = epsilon}};
    const RowMatrix<Scalar> all = sinkhorn.codes(scores);
    for (const Index rows : {1, 16, 37}) {
      const RowMatrix<Scalar> last = sinkhorn.codes_of_last(scores, rows);
      CHECK(largest_difference(last, RowMatrix<Scalar>(all.bottomRows(rows))) <= Tolerance<Scalar>::codes);
      RowMatrix<Scalar> in_place = scores;
      const MatrixView<Scalar> view(in_place);
      sinkhorn.codes_of_last_into(MatrixView<const Scalar>(in_place), view.middle_rows(37 - rows, rows));
      CHECK(identical(RowMatrix<Scalar>(in_place.bottomRows(rows)), last));
      CHECK(identical(RowMatrix<Scalar>(in_place.topRows(37 - rows)), RowMatrix<Scalar>(scores.topRows(37 - rows))));
    }
    CHECK(sinkhorn.codes_of_last(scores, 0).rows() == 0);
    CHECK_THROWS_AS((void)sinkhorn.codes_of_last(scores, 38), InvalidInput);
    CHECK_THROWS_AS((void)sinkhorn.codes_of_last(scores, -1), InvalidInput);
    RowMatrix<Scalar> short_out(36, 20);
    CHECK_THROWS_AS(sinkhorn.codes_into(scores, short_out), InvalidInput);
  }
}

TEST_CASE_TEMPLATE("at convergence each prototype has its share of the samples", Scalar, SWAV_PRECISE_SCALARS) {
  Generator generator(22);
  const Index samples = 50, prototypes = 6;
  const RowMatrix<Scalar> scores = converted<Scalar>(random_scores(samples, prototypes, generator));
  const std::vector<double> masses = {0.3, 0.0, 0.25, 0.05, 0.2, 0.2};
  for (const auto domain : {swav::Stabilization::scaling, swav::Stabilization::log}) {
    Sinkhorn<Scalar> sinkhorn{
        {.epsilon = 0.1, .max_iterations = 300, .stabilization = domain, .prototype_masses = masses}};
    const RowMatrix<double> codes = converted<double>(sinkhorn.codes(scores));
    for (Index k = 0; k < prototypes; ++k)
      CHECK(codes.col(k).sum() / samples == doctest::Approx(masses[static_cast<std::size_t>(k)]).epsilon(1e-4));
    for (Index b = 0; b < samples; ++b) CHECK(codes.row(b).sum() == doctest::Approx(1).epsilon(1e-5));
  }
  const std::vector<double> equal(6, 1.0 / 6);
  const RowMatrix<double> expected = converted<double>(Sinkhorn<Scalar>{}.codes(scores));
  const RowMatrix<double> given = converted<double>(Sinkhorn<Scalar>{{.prototype_masses = equal}}.codes(scores));
  CHECK(largest_difference(expected, given) <= 1e-6);
}

TEST_CASE("prototypes' masses that cannot be are refused") {
  const auto with = [](std::vector<double> masses) {
    return Sinkhorn<double>{{.prototype_masses = std::move(masses)}}.codes(
        RowMatrix<double>(RowMatrix<double>::Zero(4, 2)));
  };
  CHECK(with({0.25, 0.75}).rows() == 4);
  for (const std::vector<double>& masses :
       {std::vector<double>{1.0}, {0.5, 0.6}, {1.5, -0.5}, {NAN, 1.0}, {0.2, 0.3, 0.5}, {INFINITY, 0.0}})
    CHECK_THROWS_AS((void)with(masses), InvalidInput);
}
