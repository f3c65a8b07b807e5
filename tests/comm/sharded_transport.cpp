// Transports whose rows several processes share equal those of one process with all rows. Run by mpirun with 1, 2 or 3
// processes; the shares are uneven, and one process may have none. Out: 0, or 1 and what differs.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "sharded.hpp"
#include "swav/core/philox.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"

namespace {

using namespace swav;
using namespace swav::test;
using Sharded = Sinkhorn<double, EigenDevice, MpiCommunicator>;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr Index rows = 41, cols = 29;

struct Problem {
  RowMatrix<double> x, y, cost;
  std::vector<double> a, b;
};

/// Points in the plane, a mass of each side 0, squared distances of up to about 2.
Problem problem_of_all() {
  PhiloxStream random(11, 0);
  Problem p{
      RowMatrix<double>(rows, 2), RowMatrix<double>(cols, 2), {}, std::vector<double>(rows), std::vector<double>(cols)};
  for (auto* points : {&p.x, &p.y})
    for (Index i = 0; i < points->size(); ++i) points->data()[i] = random.uniform(0.0, 1.0);
  for (auto* masses : {&p.a, &p.b}) {
    double total = 0;
    for (double& mass : *masses) mass = random.uniform(0.2, 1.0);
    (*masses)[5] = 0;
    for (const double mass : *masses) total += mass;
    for (double& mass : *masses) mass /= total;
  }
  p.cost = cost_matrix(PointCost(p.x, p.y));
  return p;
}

/// The rows of this process.
struct Share {
  Index first, count;
  explicit Share(const MpiCommunicator& group)
      : first(first_row(group.rank(), group.size(), rows)),
        count(first_row(group.rank() + 1, group.size(), rows) - first) {}
  [[nodiscard]] MatrixView<const double> of(const RowMatrix<double>& m) const {
    return MatrixView<const double>(m).middle_rows(first, count);
  }
  [[nodiscard]] VectorView<const double> of(const std::vector<double>& v) const { return {v.data() + first, count}; }
};

/// Equal, or not finite both.
double difference(const double* found, const double* wanted, Index count) {
  double largest = 0;
  for (Index i = 0; i < count; ++i)
    if (found[i] != wanted[i]) largest = std::max(largest, std::abs(found[i] - wanted[i]));
  return largest;
}

template <class One, class Many>
void check_share_of(const One& whole, const Many& mine, const std::string& name, const MpiCommunicator& group) {
  // Float kernels and what relaxation makes of a last digit may take another iteration.
  constexpr double tolerance = 1e-10;
  const Share share(group);
  const auto same = [&](bool holds, const char* what) { check(holds, (name + ": " + what).c_str(), group); };
  same(mine.status == whole.status && mine.domain == whole.domain, "status or domain");
  same(std::abs(mine.iterations - whole.iterations) <= 2 + whole.iterations / 20, "iterations");
  // Nothing determines a constant that potentials have in common.
  const double constant = mine.g[0] - whole.g[0];
  std::vector<double> f = mine.f, g = mine.g;
  for (double& potential : f) potential += constant;
  for (double& potential : g) potential -= constant;
  same(static_cast<Index>(f.size()) == share.count && static_cast<Index>(g.size()) == cols, "numbers of potentials");
  same(difference(f.data(), whole.f.data() + share.first, share.count) <= tolerance, "f");
  same(difference(g.data(), whole.g.data(), cols) <= tolerance, "g");
  const RowMatrix<double> plan = mine.plan(), whole_plan = whole.plan();
  same(difference(plan.data(), whole_plan.data() + share.first * cols, plan.size()) <= tolerance, "plan");
  const double numbers[] = {mine.transport_cost, mine.regularized_cost, mine.dual_cost,     mine.entropy,
                            mine.mass,           mine.total_a,          mine.marginal_error};
  const double whole_numbers[] = {whole.transport_cost, whole.regularized_cost, whole.dual_cost,     whole.entropy,
                                  whole.mass,           whole.total_a,          whole.marginal_error};
  same(difference(numbers, whole_numbers, std::size(numbers)) <= tolerance, "costs");
  same(difference(mine.marginal(0).data(), whole.marginal(0).data(), cols) <= tolerance, "marginal 0");
  same(difference(mine.marginal(1).data(), whole.marginal(1).data() + share.first, share.count) <= tolerance,
       "marginal 1");
  const Problem p = problem_of_all();
  const RowMatrix<double> brought = mine.apply(share.of(p.x), 0), whole_brought = whole.apply(p.x, 0);
  same(difference(brought.data(), whole_brought.data(), brought.size()) <= tolerance, "apply 0");
  const RowMatrix<double> moved = mine.apply(p.y), whole_moved = whole.apply(p.y);
  same(difference(moved.data(), whole_moved.data() + share.first * 2, moved.size()) <= tolerance, "apply 1");
}

void share_equals_the_whole(SinkhornOptions options, const std::string& name, const MpiCommunicator& group) {
  const Share share(group);
  const Problem p = problem_of_all();
  Sinkhorn<double> alone(options, EigenDevice(1));
  Sharded sharded(options, EigenDevice(1), group);
  const auto whole = alone.solve(p.cost, p.a, p.b);
  const auto mine = sharded.solve(share.of(p.cost), share.of(p.a), p.b);
  check_share_of(whole, mine, name, group);
  check_share_of(alone.solve(p.cost), sharded.solve(share.of(p.cost)), name + ", masses left out", group);

  const auto warm = sharded.solve(share.of(p.cost), share.of(p.a), p.b, &mine);
  check_share_of(alone.solve(p.cost, p.a, p.b, &whole), warm, name + ", warm", group);

  const PointCost points(p.x, p.y), my_points(share.of(p.x), MatrixView<const double>(p.y));
  check_share_of(alone.solve(points, p.a, p.b), sharded.solve(my_points, share.of(p.a), p.b), name + ", points", group);
}

void infeasible_is_so_in_all(const MpiCommunicator& group) {
  const Share share(group);
  Problem p = problem_of_all();
  // The last rows share one column, which cannot take their mass; and a row without a partner.
  RowMatrix<double> crowded = p.cost, stranded = p.cost;
  crowded.bottomRightCorner(6, cols - 1).setConstant(infinity);
  stranded.row(rows - 1).setConstant(infinity);
  for (const RowMatrix<double>& cost : {crowded, stranded})
    for (const Stabilization domain : {Stabilization::automatic, Stabilization::log}) {
      const SinkhornOptions options{.epsilon = 0.1, .stabilization = domain};
      const auto whole = Sinkhorn<double>(options, EigenDevice(1)).solve(cost, p.a, p.b);
      const auto mine = Sharded(options, EigenDevice(1), group).solve(share.of(cost), share.of(p.a), p.b);
      check(whole.status == TransportStatus::infeasible, "one process does not see it", group);
      check(mine.status == whole.status && mine.iterations == whole.iterations, "infeasible", group);
      check(mine.transport_cost == infinity && mine.mass == 0, "infeasible, and yet a plan", group);
    }
}

// Parts that no process sees whole: rows and columns of the same remainder by 3, each row with the columns near it.
void parts_are_those_of_all(const MpiCommunicator& group) {
  const Share share(group);
  Problem p = problem_of_all();
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < cols; ++j)
      if (i % 3 != j % 3 || std::abs(i * (cols - 1) - j * (rows - 1)) > 10 * rows) p.cost(i, j) = infinity;
  double of_a[3] = {}, of_b[3] = {};
  for (Index i = 0; i < rows; ++i) of_a[i % 3] += p.a[std::size_t(i)];
  for (Index j = 0; j < cols; ++j) of_b[j % 3] += p.b[std::size_t(j)];
  for (Index j = 0; j < cols; ++j) p.b[std::size_t(j)] *= of_a[j % 3] / of_b[j % 3];
  const SinkhornOptions options{.epsilon = 1, .tolerance = 1e-12};
  Sinkhorn<double> alone(options, EigenDevice(1));
  Sharded sharded(options, EigenDevice(1), group);
  const auto whole = alone.solve(p.cost, p.a, p.b);
  const auto mine = sharded.solve(share.of(p.cost), share.of(p.a), p.b);
  check(whole.converged, "parts do not converge", group);
  check(mine.converged, "parts do not converge in a group", group);
  // Potentials have a constant for each part that nothing determines.
  const RowMatrix<double> plan = mine.plan(), whole_plan = whole.plan();
  check(difference(plan.data(), whole_plan.data() + share.first * cols, plan.size()) <= 1e-10, "parts: plan", group);
  p.a[0] += 1e-6;
  p.a[1] -= 1e-6;
  const auto none = sharded.solve(share.of(p.cost), share.of(p.a), p.b);
  check(none.status == TransportStatus::infeasible && none.iterations == 0, "parts that differ", group);
}

void bad_input_in_one_process_is_an_error_in_all(const MpiCommunicator& group) {
  const Share share(group);
  const bool last = group.rank() == group.size() - 1;
  const Problem p = problem_of_all();
  Sharded sharded({.epsilon = 0.1}, EigenDevice(1), group);
  auto result = sharded.solve(share.of(p.cost), share.of(p.a), p.b);
  const std::vector<double> f = result.f;
  const auto refuses = [&](MatrixView<const double> cost, VectorView<const double> a, VectorView<const double> b,
                           const char* what) {
    check(throws_invalid_input([&] { sharded.solve_into(cost, a, b, result); }), what, group);
    check(result.f == f && result.converged, what, group);
  };
  RowMatrix<double> cost = RowMatrix<double>::Ones(2, cols);
  const std::vector<double> two(2, 0.5 / group.size()), uniform(cols, 1.0 / cols);
  if (last) cost(1, 3) = std::nan("");
  refuses(cost, {}, {}, "a NaN passed");
  cost.setOnes();
  std::vector<double> bad = two;
  if (last) bad[1] = -1;
  refuses(cost, bad, uniform, "a negative mass passed");
  bad.assign(last ? 3 : 2, 0.1);
  refuses(cost, bad, uniform, "masses of another number passed");
  bad.assign(2, last ? 0.9 : 0.1);
  refuses(cost, bad, uniform, "totals that differ passed");
  const RowMatrix<double> odd = RowMatrix<double>::Ones(2, last ? cols + 1 : cols);
  if (group.size() > 1) refuses(odd, {}, {}, "unequal columns passed");
  refuses(RowMatrix<double>(0, cols), {}, {}, "no rows anywhere passed");
  RowMatrix<double> far = RowMatrix<double>::Ones(2, 2);
  if (last) far(0, 1) = 1e200;
  check(throws_invalid_input([&] { (void)sharded.solve(PointCost(far, p.y)); }), "an overflow passed", group);
  sharded.solve_into(cost, two, uniform, result);
  check(result.converged, "fails afterwards", group);
}

void a_stop_in_one_process_stops_all(const MpiCommunicator& group) {
  const Share share(group);
  const Problem p = problem_of_all();
  SinkhornOptions options{.epsilon = 0.01, .tolerance = 1e-13, .relaxation = 1};
  options.progress = [&](const SinkhornProgress& progress) {
    return progress.iterations < 7 || group.rank() < group.size() - 1;
  };
  const auto result = Sharded(options, EigenDevice(1), group).solve(share.of(p.cost), share.of(p.a), p.b);
  check(result.status == TransportStatus::stopped && result.iterations == 7, "a stop", group);
}

void run(const MpiCommunicator& group) {
  const SinkhornOptions balanced{.epsilon = 0.05, .tolerance = 1e-12};
  share_equals_the_whole(balanced, "balanced", group);
  const auto with = [&](auto change) {
    SinkhornOptions options = balanced;
    change(options);
    return options;
  };
  share_equals_the_whole(with([](auto& o) { o.rho_a = 0.5, o.rho_b = 2; }), "unbalanced", group);
  share_equals_the_whole(with([](auto& o) { o.rho_b = 1; }), "half unbalanced", group);
  share_equals_the_whole(with([](auto& o) { o.stabilization = Stabilization::log; }), "log domain", group);
  share_equals_the_whole(with([](auto& o) { o.stabilization = Stabilization::scaling; }), "scaling", group);
  share_equals_the_whole(with([](auto& o) { o.epsilon = 0.005, o.absorption_threshold = 1e4, o.relaxation = 1.5; }),
                         "absorption", group);
  share_equals_the_whole(with([](auto& o) { o.epsilon_start_factor = 100; }), "schedule", group);
  share_equals_the_whole(with([](auto& o) { o.rho_a = 50, o.rho_b = 1e3, o.relaxation = 1; }), "nearly balanced",
                         group);
  infeasible_is_so_in_all(group);
  parts_are_those_of_all(group);
  bad_input_in_one_process_is_an_error_in_all(group);
  a_stop_in_one_process_stops_all(group);
}

}  // namespace

int main(int argc, char** argv) { return run_by_mpi(argc, argv, run); }
