// Sinkhorn::solve where one number dwarfs another: totals, marginal weights, potentials to start from; and where
// forbidden pairs leave parts. In: problems by hand. Out: checks.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

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
constexpr Index n = 12;

RowMatrix<double> random_cost(unsigned seed) {
  Generator generator(seed);
  return normal_matrix(n, n, generator).cwiseAbs();
}

}  // namespace

TEST_CASE("masses of any total") {
  const RowMatrix<double> cost = random_cost(70);
  Masses a(n), b(n, 1.0 / n);
  for (Index i = 0; i < n; ++i) a[std::size_t(i)] = double(i + 1) / (n * (n + 1) / 2);
  for (const Stabilization domain : domains) {
    const SinkhornOptions options{.epsilon = 0.05, .tolerance = 1e-12, .stabilization = domain};
    const Result one = solve(cost, options, a, b);
    for (const double total : {1e-290, 1e-150, 1e-20, 1e-3, 7.0, 1e20, 1e150, 1e290}) {
      CAPTURE(total);
      Masses of_a = a, of_b = b;
      for (Masses* masses : {&of_a, &of_b})
        for (double& mass : *masses) mass *= total;
      const Result r = solve(cost, options, of_a, of_b);
      CHECK(r.converged);
      CHECK(std::abs(r.iterations - one.iterations) <= 1);
      CHECK(r.marginal_error <= 2e-12);
      CHECK(r.total_a == doctest::Approx(total));
      CHECK(r.mass / total == doctest::Approx(1));
      CHECK(r.transport_cost / total == doctest::Approx(one.transport_cost));
      CHECK(largest_difference(RowMatrix<double>(r.plan() / total), one.plan()) <= 1e-11);
      // H(t P) = t (H(P) - log t), KL(t P | t a t b') = t (KL(P | a b') - log t - 1) + t^2, of a P of mass 1.
      CHECK(r.entropy / total == doctest::Approx(one.entropy - std::log(total)));
      const double expected = total * (one.regularized_cost + 0.05 * (total - 1 - std::log(total)));
      CHECK((r.regularized_cost == expected || r.regularized_cost == doctest::Approx(expected)));
      CHECK((r.dual_cost == expected || r.dual_cost == doctest::Approx(expected)));
      CHECK(solve(cost, options, of_a, of_b, &r).iterations <= 2);
    }
  }
}

TEST_CASE("marginals held nearly exactly take no more iterations than exact ones, whatever the totals") {
  const RowMatrix<double> cost = random_cost(71);
  const int balanced = solve(cost, {.epsilon = 0.05, .relaxation = 1}).iterations;
  for (const Stabilization domain : {Stabilization::automatic, Stabilization::absorption, Stabilization::log})
    for (const double rho : {1.0, 1e2, 1e5})
      for (const double total : {1.0, 3.0})
        for (const bool one_sided : {false, true}) {
          SinkhornOptions options{.epsilon = 0.05,
                                  .stabilization = domain,
                                  .relaxation = 1,
                                  .rho_a = rho,
                                  .rho_b = one_sided ? infinity : rho};
          const Result r = solve(cost, options, {}, Masses(n, total / n));
          CAPTURE(rho);
          CHECK(r.converged);
          CHECK(r.iterations <= balanced + balanced / 4);
          CHECK(r.regularized_cost == doctest::Approx(r.dual_cost).epsilon(1e-9));
          // Both marginals held alike: what becomes of the total is their geometric mean.
          if (rho > 1e4) CHECK(r.mass == doctest::Approx(one_sided ? total : std::sqrt(total)).epsilon(1e-4));
        }
}

TEST_CASE("unbalanced problems of any total, absorbed early, too") {
  const RowMatrix<double> cost = random_cost(77);
  for (const Stabilization domain : {Stabilization::automatic, Stabilization::absorption, Stabilization::log})
    for (const double total : {1e-20, 1e-5, 1e5, 1e20})
      for (const double rho : {0.5, 50.0, 5e3}) {
        SinkhornOptions options{.epsilon = 0.05, .stabilization = domain, .rho_a = rho, .rho_b = rho};
        options.absorption_threshold = 1e6;
        const Masses masses(n, total / n);
        const Result r = solve(cost, options, masses, masses);
        CAPTURE(total);
        CAPTURE(rho);
        CHECK(r.converged);
        CHECK(r.iterations <= 150);
        // Homogeneous: P of t a and t b is t^(2/(1 + lambda)) times that of a and b.
        const double lambda = rho / (rho + 0.05);
        const Result one = solve(cost, options);
        CHECK(std::log(r.mass) == doctest::Approx(std::log(one.mass) + 2 / (1 + lambda) * std::log(total)));
      }
}

TEST_CASE("a plan that destroys nearly all mass is as exact as any") {
  // One pair: the masses' exponents are known.
  for (const double c : {1.0, 4.0, 8.0, 20.0})
    for (const Stabilization domain : {Stabilization::automatic, Stabilization::log}) {
      const Result r = Sinkhorn<double>{{.epsilon = 0.05, .stabilization = domain, .rho_a = 0.05, .rho_b = 0.05}}.solve(
          RowMatrix<double>(RowMatrix<double>::Constant(1, 1, c)));
      CHECK(r.converged);
      CHECK(std::log(r.mass) == doctest::Approx(-c / 0.15).epsilon(1e-8));
      CHECK(r.regularized_cost == doctest::Approx(r.dual_cost));
    }
}

TEST_CASE("a constant added to the cost changes no plan with one exact marginal") {
  const RowMatrix<double> cost = random_cost(78);
  for (const double rho : {0.1, 5.0, 500.0})
    for (const bool exact_a : {false, true}) {
      const SinkhornOptions options{
          .epsilon = 0.05, .rho_a = exact_a ? infinity : rho, .rho_b = exact_a ? rho : infinity};
      const Result r = solve(cost, options);
      for (const double constant : {-1e5, -1e3, 1e3, 1e5}) {
        CAPTURE(constant);
        const RowMatrix<double> shifted = cost.array() + constant;
        const Result far = solve(shifted, options);
        CHECK(far.converged);
        CHECK(far.iterations <= r.iterations + 10);
        CHECK(largest_difference(far.plan(), r.plan()) <= 1e-8);
      }
    }
}

TEST_CASE("a weight of a marginal that potentials have no digits for is refused") {
  const RowMatrix<double> cost = random_cost(72);
  CHECK_THROWS_WITH_AS(solve(cost, {.epsilon = 1, .rho_a = 1e-13}), doctest::Contains("rho_a"), InvalidInput);
  CHECK_THROWS_WITH_AS(solve(cost, {.epsilon = 1, .rho_b = 1e-300}), doctest::Contains("rho_b"), InvalidInput);
  const Result r = solve(cost, {.epsilon = 1, .rho_a = 1e-11, .rho_b = 1e-11});
  CHECK(r.converged);
  CHECK(without_nan(r));
  CHECK(std::isfinite(r.dual_cost));
}

TEST_CASE("a warm start that is no start does no harm") {
  const RowMatrix<double> cost = random_cost(73);
  Generator generator(74);
  std::normal_distribution<double> normal;
  for (const Stabilization domain : domains)
    for (const double rho : {infinity, 0.5}) {
      const SinkhornOptions options{.epsilon = 0.05, .stabilization = domain, .rho_a = rho, .rho_b = rho};
      const Result cold = solve(cost, options);
      for (const double factor : {1.0, 1e2, 1e4, 1e9, 1e300})
        for (const double constant : {0.0, 1e5, 1e12, -1e250}) {
          CAPTURE(factor);
          CAPTURE(constant);
          Result far = cold;
          for (double& potential : far.g) potential = constant + factor * potential * (1 + 0.1 * normal(generator));
          const Result r = solve(cost, options, {}, {}, &far);
          CHECK(r.converged);
          CHECK(r.iterations <= 3 * cold.iterations);
          CHECK(largest_difference(r.plan(), cold.plan()) <= 1e-9);
        }
    }
}

TEST_CASE("parts that forbidden pairs leave are balanced each") {
  RowMatrix<double> cost = random_cost(75);
  // Rows and columns of 0, 1 and 2 modulo 3, chained within each part only.
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j)
      if (i % 3 != j % 3 || (j != i && j != (i + 3) % n)) cost(i, j) = infinity;
  for (const Stabilization domain : domains) {
    const SinkhornOptions options{.epsilon = 0.5, .stabilization = domain};
    Masses a(n, 1.0 / n);
    // Totals of parts, like those of the whole, may differ by roundings.
    a[0] += 1e-10;
    a[1] -= 1e-10;
    const Result r = solve(cost, options, a);
    CHECK(r.converged);
    CHECK(r.marginal_error <= 2e-9);
    a[0] += 1e-6;
    a[1] -= 1e-6;
    const Result none = solve(cost, options, a);
    CHECK(none.status == TransportStatus::infeasible);
    CHECK(none.iterations == 0);
    // What rounding makes of a small part is not infeasible.
    const double t = 1e-10;
    const RowMatrix<double> two{{0, infinity}, {infinity, 0}};
    CHECK(solve(two, options, {1 - t, t}, {1 - t, 1 - (1 - t)}).converged);
    a[0] = a[3] = a[6] = a[9] = 0;  // a part without mass, but on one side only
    CHECK(solve(cost, options, a, a).converged);
  }
}

TEST_CASE("a result that has been moved from says so") {
  const RowMatrix<double> cost = random_cost(76);
  Result r = solve(cost, {.epsilon = 0.05});
  const Result taken = std::move(r);
  CHECK(taken.plan().sum() == doctest::Approx(1));
  CHECK_THROWS_WITH_AS(r.plan(), doctest::Contains("moved from"), InvalidInput);
  CHECK_THROWS_AS(r.marginal(0), InvalidInput);
  CHECK_THROWS_AS(r.apply(cost), InvalidInput);
}
