// Sinkhorn::solve on input that breaks others: each case is a right, finite answer, a status, or a named error. In:
// problems by hand, and random ones over all scales. Out: checks.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "devices.hpp"
#include "problems.hpp"
#include "transport_checks.hpp"

namespace {

using swav::Index;
using swav::InvalidInput;
using swav::RowMatrix;
using swav::SinkhornOptions;
using swav::Stabilization;
using swav::TransportStatus;
using namespace swav::test;
using Result = Sinkhorn<double>::Result;
using Masses = std::vector<double>;

constexpr double infinity = std::numeric_limits<double>::infinity();

RowMatrix<double> random_cost(Index n, Index m, Generator& generator) {
  return normal_matrix(n, m, generator).cwiseAbs();
}

}  // namespace

TEST_CASE("masses of 0 take no part") {
  Generator generator(50);
  const RowMatrix<double> cost = random_cost(4, 5, generator);
  const Masses a{0.5, 0, 0.3, 0.2}, b{0, 0.25, 0.25, 0.5, 0};
  RowMatrix<double> small(3, 3);
  for (Index i = 0; i < 3; ++i) small.row(i) = cost.row(i + (i > 0)).segment(1, 3);
  for (const Stabilization domain : domains) {
    const SinkhornOptions options{.epsilon = 0.05, .tolerance = 1e-13, .stabilization = domain};
    const Result r = solve(cost, options, a, b);
    const RowMatrix<double> plan = r.plan(),
                            expected = solve(small, options, {0.5, 0.3, 0.2}, {0.25, 0.25, 0.5}).plan();
    CHECK(r.converged);
    CHECK(without_nan(r));
    CHECK(plan.row(1).sum() == 0);
    CHECK(plan.col(0).sum() + plan.col(4).sum() == 0);
    CHECK(r.f[1] == -infinity);
    double difference = 0;
    for (Index i = 0; i < 3; ++i)
      for (Index j = 0; j < 3; ++j) difference += std::abs(plan(i + (i > 0), j + 1) - expected(i, j));
    CHECK(difference <= 1e-11);
  }
}

TEST_CASE("forbidden pairs carry nothing, and what is left with no partner is infeasible") {
  Generator generator(51);
  RowMatrix<double> cost = random_cost(5, 5, generator);
  RowMatrix<double> finite_cost = cost;
  for (const auto& [i, j] : {std::pair<Index, Index>{0, 0}, {1, 3}, {4, 2}, {4, 4}}) {
    cost(i, j) = infinity;
    finite_cost(i, j) = 1e3;
  }
  for (const Stabilization domain : domains) {
    SinkhornOptions options{.epsilon = 0.1, .tolerance = 1e-12, .stabilization = domain};
    const Result r = solve(cost, options);
    CHECK(r.converged);
    CHECK(without_nan(r));
    CHECK(r.plan()(4, 2) == 0);
    CHECK(largest_difference(r.plan(), solve(finite_cost, options).plan()) <= 1e-11);

    // A row, a column, and (Hall's condition) two rows that have one column between them.
    RowMatrix<double> row = cost, col = cost, two = cost;
    row.row(2).setConstant(infinity);
    col.col(1).setConstant(infinity);
    two.middleRows(2, 2).rightCols(4).setConstant(infinity);
    for (const RowMatrix<double>& impossible : {row, col, two}) {
      const Result none = solve(impossible, options);
      CHECK(none.status == TransportStatus::infeasible);
      CHECK_FALSE(none.converged);
      CHECK(without_nan(none));
      CHECK(none.transport_cost == infinity);
      CHECK(none.plan().sum() == 0);
    }
    CHECK(solve(row, options, {0.25, 0.25, 0, 0.25, 0.25}).converged);
    options.rho_a = options.rho_b = 1;
    const Result unbalanced = solve(row, options);
    CHECK(unbalanced.converged);
    CHECK(without_nan(unbalanced));
    CHECK(unbalanced.regularized_cost == doctest::Approx(unbalanced.dual_cost).epsilon(1e-9));
  }
}

TEST_CASE("one row, one column, one entry") {
  Generator generator(52);
  for (const auto& [n, m] : {std::pair<Index, Index>{1, 6}, {6, 1}, {1, 1}})
    for (const Stabilization domain : domains) {
      const RowMatrix<double> cost = random_cost(n, m, generator);
      const Result r = solve(cost, {.epsilon = 1e-3, .stabilization = domain});
      CHECK(r.converged);
      CHECK(r.iterations <= 3);
      CHECK(largest_difference(r.plan(), RowMatrix<double>(RowMatrix<double>::Constant(n, m, 1.0 / double(n * m)))) <=
            1e-12);
    }
}

TEST_CASE("duplicate points, and costs far from 0, change nothing but potentials") {
  Generator generator(53);
  RowMatrix<double> cost = random_cost(6, 6, generator);
  cost.row(3) = cost.row(0);
  cost.col(5) = cost.col(2);
  for (const Stabilization domain : domains) {
    const SinkhornOptions options{.epsilon = 0.01, .max_iterations = 100'000, .stabilization = domain};
    const Result r = solve(cost, options);
    CHECK(r.converged);
    const RowMatrix<double> plan = r.plan();
    CHECK(largest_difference(RowMatrix<double>(plan.row(3)), RowMatrix<double>(plan.row(0))) <= 1e-12);
    const RowMatrix<double> far_cost = cost.array() + 1e4;
    const Result far = solve(far_cost, options);
    CHECK(far.converged);
    CHECK(largest_difference(far.plan(), plan) <= 1e-8);
    CHECK(far.transport_cost == doctest::Approx(r.transport_cost + 1e4));
  }
}

TEST_CASE("costs of any scale, and epsilon far below their range") {
  Generator generator(54);
  const RowMatrix<double> cost = random_cost(12, 12, generator);
  const RowMatrix<double> small_cost = 1e-30 * cost, large_cost = 1e30 * cost;
  const Result small = solve(small_cost, {.epsilon = 0.05});
  CHECK(small.converged);
  CHECK(largest_difference(small.plan(), RowMatrix<double>(RowMatrix<double>::Constant(12, 12, 1 / 144.0))) <= 1e-12);
  const Result scaled = solve(large_cost, {.epsilon = 0.05e30});
  CHECK(scaled.converged);
  CHECK(largest_difference(scaled.plan(), solve(cost, {.epsilon = 0.05}).plan()) <= 1e-9);
  CHECK(without_nan(solve(large_cost, {.epsilon = 0.05, .max_iterations = 200})));

  // The least cost of an assignment, by all permutations of 6.
  const RowMatrix<double> six = cost.topLeftCorner(6, 6);
  std::vector<Index> order{0, 1, 2, 3, 4, 5};
  double least = infinity;
  do {
    double sum = 0;
    for (Index i = 0; i < 6; ++i) sum += six(i, order[std::size_t(i)]) / 6;
    least = std::min(least, sum);
  } while (std::next_permutation(order.begin(), order.end()));
  const double epsilon = 1e-6 * (six.maxCoeff() - six.minCoeff());
  for (const double start : {1.0, 1e5}) {
    const Result sharp = solve(six, {.epsilon = epsilon,
                                     .max_iterations = 1'000'000,
                                     .tolerance = 1e-6,
                                     .check_interval = 1000,
                                     .epsilon_start_factor = start});
    CAPTURE(start);
    CAPTURE(sharp.iterations);
    CAPTURE(sharp.marginal_error);
    CAPTURE(int(sharp.status));
    CAPTURE(sharp.transport_cost - least);
    CHECK(without_nan(sharp));
    // Without a schedule the last digit takes more iterations than these: the answer is right and says so.
    CHECK((sharp.converged || (start == 1 && sharp.status == TransportStatus::max_iterations)));
    CHECK(sharp.marginal_error <= 1e-5);
    CHECK(sharp.transport_cost == doctest::Approx(least).epsilon(1e-5));
  }
}

TEST_CASE("bad input is a named error and leaves the result as it was") {
  const RowMatrix<double> cost{{1, 2}, {3, 4}, {5, 6}};
  const Masses a{0.2, 0.3, 0.5}, b{0.4, 0.6};
  Sinkhorn<double> sinkhorn;
  Result result = sinkhorn.solve(cost, a, b);
  const std::vector<double> f = result.f;
  const auto refuses = [&](const RowMatrix<double>& c, const Masses& of_a, const Masses& of_b, const char* named) {
    CHECK_THROWS_WITH_AS(sinkhorn.solve_into(c, of_a, of_b, result), doctest::Contains(named), InvalidInput);
    CHECK(result.f == f);
    CHECK(result.converged);
  };
  for (const double bad : {std::nan(""), -infinity}) {
    RowMatrix<double> broken = cost;
    broken(1, 1) = bad;
    refuses(broken, a, b, "row 1");
  }
  for (const double bad : {std::nan(""), infinity, -0.1}) {
    refuses(cost, {0.2, bad, 0.5}, b, "a[1]");
    refuses(cost, a, {bad, 0.6}, "b[0]");
  }
  refuses(cost, {0, 0, 0}, {0, 0}, "total");
  refuses(cost, {0.2, 0.3, 0.6}, b, "the same");
  refuses(cost, {0.5, 0.5}, b, "a of size 2");
  refuses(cost, a, {1, 2, 3}, "b of size 3");
  refuses(RowMatrix<double>(0, 2), {}, {}, "0 x 2");
  refuses(RowMatrix<double>(3, 0), {}, {}, "3 x 0");
  refuses(1e306 * cost, a, b, "cost");

  const auto named = [&](SinkhornOptions options, const char* name) {
    CHECK_THROWS_WITH_AS(Sinkhorn<double>(std::move(options)), doctest::Contains(name), InvalidInput);
  };
  for (const double bad : {0.0, -1.0, std::nan("")}) {
    named({.epsilon = bad}, "epsilon");
    named({.tolerance = bad}, "tolerance");
    named({.relaxation = bad}, "relaxation");
    named({.rho_a = bad}, "rho_a");
    named({.rho_b = bad}, "rho_b");
    named({.absorption_threshold = bad}, "absorption_threshold");
    named({.epsilon_start_factor = bad}, "epsilon_start_factor");
    named({.epsilon_decay = bad}, "epsilon_decay");
  }
  named({.max_iterations = 0}, "max_iterations");
  named({.check_interval = 0}, "check_interval");
  named({.relaxation = 2}, "relaxation");
  named({.epsilon_decay = 1}, "epsilon_decay");
}

TEST_CASE("finite problems never give a NaN, whatever their scale and options") {
  Generator generator(55);
  std::uniform_real_distribution<double> uniform(0, 1), scale_exponent(-30, 30), epsilon_exponent(-6, 3);
  std::uniform_int_distribution<Index> size(1, 9);
  int failures = 0, converged = 0;
  for (int draw = 0; draw < 3000 / slowness; ++draw) {
    const Index n = size(generator), m = size(generator);
    const double scale = std::pow(10.0, scale_exponent(generator));
    // Half of them have an epsilon that suits the cost.
    const double epsilon = (draw % 2 ? scale : 1.0) * std::pow(10.0, epsilon_exponent(generator));
    RowMatrix<double> cost = scale * normal_matrix(n, m, generator);
    if (draw % 5 == 0)
      for (Index i = 0; i < cost.size(); ++i)
        if (uniform(generator) < 0.2) cost.data()[i] = infinity;
    Masses a(static_cast<std::size_t>(n)), b(static_cast<std::size_t>(m));
    for (Masses* masses : {&a, &b}) {
      double total = 0;
      for (double& mass : *masses) total += mass = uniform(generator) < 0.2 ? 1e-12 : uniform(generator);
      for (double& mass : *masses) mass /= total;
    }
    SinkhornOptions options{.epsilon = epsilon, .max_iterations = 1 + draw % 200, .stabilization = domains[draw % 4]};
    if (draw % 3 == 0) options.rho_a = std::pow(10.0, epsilon_exponent(generator)) * epsilon;
    if (draw % 7 == 0) options.epsilon_start_factor = 100;
    if (draw % 11 == 0) options.relaxation = 1.9;
    const Result r = solve(cost, options, a, b);
    failures += !without_nan(r);
    converged += r.converged;
    if (r.converged && std::isinf(options.rho_a)) failures += !(r.marginal_error <= 2e-9);
  }
  CHECK(failures == 0);
  CHECK(converged > 200 / slowness);
}
