// Sinkhorn::solve against POT's and OTT's plans, closed forms, and what must hold for any problem.
// In: tests/golden/transport_*, synthetic costs. Out: checks.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "allocations.hpp"
#include "devices.hpp"
#include "golden.hpp"
#include "problems.hpp"
#include "scalars.hpp"
#include "transport_checks.hpp"

namespace {

using swav::Index;
using swav::InvalidInput;
using swav::KernelStorage;
using swav::RowMatrix;
using swav::SinkhornOptions;
using swav::Stabilization;
using swav::TransportStatus;
using namespace swav::test;
using Result = Sinkhorn<double>::Result;

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Problem {
  RowMatrix<double> cost;
  std::vector<double> a, b;
};

std::vector<double> random_masses(Index size, Generator& generator) {
  std::uniform_real_distribution<double> uniform(0.1, 1);
  std::vector<double> masses(static_cast<std::size_t>(size));
  for (double& mass : masses) mass = uniform(generator);
  const double total = std::accumulate(masses.begin(), masses.end(), 0.0);
  for (double& mass : masses) mass /= total;
  return masses;
}

/// Squared distances of points in the plane, at most 1.
Problem random_problem(Index n, Index m, Generator& generator) {
  const RowMatrix<double> x = normal_matrix(n, 2, generator), y = normal_matrix(m, 2, generator);
  Problem problem{RowMatrix<double>(n, m), random_masses(n, generator), random_masses(m, generator)};
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < m; ++j) problem.cost(i, j) = (x.row(i) - y.row(j)).squaredNorm();
  problem.cost /= problem.cost.maxCoeff();
  return problem;
}

Result solve(const Problem& problem, SinkhornOptions options) {
  return Sinkhorn<double>(std::move(options)).solve(problem.cost, problem.a, problem.b);
}

double sum_of_differences(const std::vector<double>& sums, const std::vector<double>& wanted) {
  double total = 0;
  for (std::size_t i = 0; i < sums.size(); ++i) total += std::abs(sums[i] - wanted[i]);
  return total;
}

std::vector<double> to_vector(const RowMatrix<double>& m) { return {m.data(), m.data() + m.size()}; }

}  // namespace

TEST_CASE("plans equal POT's and OTT's") {
  for (const std::string name : {"balanced", "unbalanced", "ott"}) {
    const GoldenArrays golden = load_golden("transport_" + name + ".bin");
    int cases = 0;
    for (; golden.contains("cost." + std::to_string(cases)); ++cases) {
      const std::string n = std::to_string(cases);
      CAPTURE(name);
      CAPTURE(n);
      const Problem problem{golden.at("cost." + n), to_vector(golden.at("a." + n)), to_vector(golden.at("b." + n))};
      const RowMatrix<double>& given = golden.at("options." + n);
      for (const Stabilization domain : domains) {
        CAPTURE(int(domain));
        const Result r = solve(problem, {.epsilon = given(0, 0),
                                         .max_iterations = 100'000,
                                         .tolerance = 1e-13,
                                         .stabilization = domain,
                                         .rho_a = given(0, 1),
                                         .rho_b = given(0, 2)});
        CHECK(r.converged);
        CHECK(largest_difference(r.plan(), golden.at("plan." + n)) <= 1e-11);
        CHECK(std::abs(r.transport_cost - problem.cost.cwiseProduct(golden.at("plan." + n)).sum()) <= 1e-10);
        if (!golden.contains("value." + n)) continue;
        const double value = golden.at("value." + n)(0, 0);
        CHECK(std::abs(r.regularized_cost - value) <= 1e-10);
        CHECK(std::abs(r.dual_cost - value) <= 1e-10);
      }
    }
    CHECK(cases >= 12);
  }
}

TEST_CASE_TEMPLATE("every scalar solves to its default tolerance", Scalar, SWAV_SCALARS) {
  Generator generator(30);
  const RowMatrix<Scalar> cost = converted<Scalar>(random_problem(33, 21, generator).cost);
  const auto r = Sinkhorn<Scalar>{{.epsilon = 0.05}}.solve(cost);
  CHECK(r.converged);
  CHECK(r.marginal_error <= (sizeof(swav::Accumulator<Scalar>) < sizeof(double) ? 1e-6 : 1e-9));
  const RowMatrix<double> same_cost = converted<double>(cost);
  const Result exact = Sinkhorn<double>{{.epsilon = 0.05, .tolerance = 1e-12}}.solve(same_cost);
  CHECK(std::abs(r.transport_cost - exact.transport_cost) <= 1e-6);
  CHECK(largest_difference(converted<double>(r.plan()), exact.plan()) <=
        1e-7 + 0.005 * exact.plan().maxCoeff() * (sizeof(Scalar) == 2));
}

TEST_CASE("a 2 x 2 problem has its closed form") {
  // Masses 1/2 and cost (0 c; c 0): P = (p, 1/2 - p; 1/2 - p, p) with p = 1/(2 (1 + exp(-c/epsilon))).
  for (const double c : {0.1, 1.0, 7.0})
    for (const double epsilon : {0.05, 0.5, 10.0}) {
      const RowMatrix<double> cost{{0, c}, {c, 0}};
      const double p = 0.5 / (1 + std::exp(-c / epsilon));
      const Result r = Sinkhorn<double>{{.epsilon = epsilon, .tolerance = 1e-14}}.solve(cost);
      CHECK(r.converged);
      CHECK(largest_difference(r.plan(), RowMatrix<double>{{p, 0.5 - p}, {0.5 - p, p}}) <= 1e-14);
      CHECK(r.transport_cost == doctest::Approx(2 * (0.5 - p) * c).epsilon(1e-12));
    }
}

TEST_CASE("Gaussians on a line have their closed form") {
  // Densities N(0, s^2) and N(m, t^2), cost (x - y)^2, epsilon = 2 q^2: the plan is Gaussian with covariance
  // (sqrt(4 s^2 t^2 + q^4) - q^2)/2 (Janati, Muzellec, Peyre, Cuturi 2020, theorem 1).
  const double s = 0.7, t = 1.2, m = 0.5, q2 = 0.3;
  const Index n = 400;
  RowMatrix<double> x(n, 1), y(n, 1), cost(n, n);
  std::vector<double> a(n), b(n);
  double total_a = 0, total_b = 0;
  for (Index i = 0; i < n; ++i) {
    x(i, 0) = -6 * s + 12 * s * double(i) / double(n - 1);
    y(i, 0) = m - 6 * t + 12 * t * double(i) / double(n - 1);
    const auto k = static_cast<std::size_t>(i);
    total_a += a[k] = std::exp(-x(i, 0) * x(i, 0) / (2 * s * s));
    total_b += b[k] = std::exp(-(y(i, 0) - m) * (y(i, 0) - m) / (2 * t * t));
  }
  for (double& mass : a) mass /= total_a;
  for (double& mass : b) mass /= total_b;
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j) cost(i, j) = (x(i, 0) - y(j, 0)) * (x(i, 0) - y(j, 0));
  const Result r = Sinkhorn<double>{{.epsilon = 2 * q2, .tolerance = 1e-11}}.solve(cost, a, b);
  CHECK(r.converged);
  const double covariance = (x.transpose() * r.apply(RowMatrix<double>((y.array() - m).matrix())))(0, 0);
  const double wanted = (std::sqrt(4 * s * s * t * t + q2 * q2) - q2) / 2;
  CHECK(covariance == doctest::Approx(wanted).epsilon(1e-6));
  CHECK(r.transport_cost == doctest::Approx(m * m + s * s + t * t - 2 * wanted).epsilon(1e-6));
}

TEST_CASE("domains, storages, schedules and relaxations agree") {
  Generator generator(31);
  for (const double epsilon : {0.3, 0.03, 0.003}) {
    CAPTURE(epsilon);
    const Problem problem = random_problem(37, 29, generator);
    const SinkhornOptions options{.epsilon = epsilon, .max_iterations = 200'000, .tolerance = 1e-12};
    const Result exact = solve(problem, options);
    CHECK(exact.converged);
    const auto agrees = [&](auto change) {
      SinkhornOptions other = options;
      change(other);
      const Result r = solve(problem, other);
      return r.converged && largest_difference(r.plan(), exact.plan()) <= 1e-9 &&
             std::abs(r.transport_cost - exact.transport_cost) <= 1e-9 &&
             std::abs(r.dual_cost - exact.dual_cost) <= 1e-9;
    };
    for (const Stabilization domain : domains) CHECK(agrees([&](SinkhornOptions& o) { o.stabilization = domain; }));
    for (const double threshold : {2.0, 1e3})
      CHECK(agrees([&](SinkhornOptions& o) {
        o.stabilization = Stabilization::absorption;
        o.absorption_threshold = threshold * 37;  // a factor is up to n times 1/mass
      }));
    for (const double relaxation : {0.8, 1.0, 1.5, 1.9})
      CHECK(agrees([&](SinkhornOptions& o) { o.relaxation = relaxation; }));
    CHECK(agrees([&](SinkhornOptions& o) { o.kernel_storage = KernelStorage::full; }));
    CHECK(agrees([&](SinkhornOptions& o) { o.epsilon_start_factor = 100; }));
    CHECK(agrees([&](SinkhornOptions& o) { o.check_interval = 10; }));
  }
}

TEST_CASE("what is reported is what the plan has") {
  Generator generator(32);
  for (const double rho : {infinity, 0.7}) {
    const Problem problem = random_problem(23, 31, generator);
    const double epsilon = 0.05;
    const Result r = solve(problem, {.epsilon = epsilon, .tolerance = 1e-12, .rho_a = rho, .rho_b = 2 * rho});
    const RowMatrix<double> plan = r.plan();
    CHECK(r.converged);
    CHECK(r.status == TransportStatus::converged);
    CHECK(r.errors.size() == static_cast<std::size_t>(r.iterations));
    CHECK(r.errors.back() <= 1e-12);
    CHECK(r.mass == doctest::Approx(plan.sum()).epsilon(1e-13));
    CHECK(r.transport_cost == doctest::Approx(plan.cwiseProduct(problem.cost).sum()).epsilon(1e-13));
    const std::vector<double> rows = to_vector(plan.rowwise().sum()), cols = to_vector(plan.colwise().sum());
    CHECK(sum_of_differences(r.marginal(1), rows) <= 1e-14);
    CHECK(sum_of_differences(r.marginal(0), cols) <= 1e-14);
    const auto divergence = [](double p, double q) { return p * std::log(p / q) - p + q; };
    double regularized = r.transport_cost, entropy = 0;
    for (Index i = 0; i < 23; ++i)
      for (Index j = 0; j < 31; ++j) {
        const double ab = problem.a[std::size_t(i)] * problem.b[std::size_t(j)];
        regularized += epsilon * divergence(plan(i, j), ab);
        entropy -= plan(i, j) * std::log(plan(i, j));
        CHECK(plan(i, j) ==
              doctest::Approx(std::exp((r.f[std::size_t(i)] + r.g[std::size_t(j)] - problem.cost(i, j)) / epsilon))
                  .epsilon(1e-12));
      }
    if (std::isfinite(rho)) {
      for (std::size_t i = 0; i < rows.size(); ++i) regularized += rho * divergence(rows[i], problem.a[i]);
      for (std::size_t j = 0; j < cols.size(); ++j) regularized += 2 * rho * divergence(cols[j], problem.b[j]);
    }
    CHECK(r.regularized_cost == doctest::Approx(regularized).epsilon(1e-12));
    CHECK(r.entropy == doctest::Approx(entropy).epsilon(1e-12));
    CHECK(r.dual_cost == doctest::Approx(regularized).epsilon(1e-10));

    const RowMatrix<double> x = normal_matrix(31, 3, generator), y = normal_matrix(23, 2, generator);
    CHECK(largest_difference(r.apply(x), RowMatrix<double>(plan * x)) <= 1e-14);
    CHECK(largest_difference(r.apply(y, 0), RowMatrix<double>(plan.transpose() * y)) <= 1e-14);
    CHECK_THROWS_AS(r.apply(y), InvalidInput);
    CHECK_THROWS_AS(r.apply(x, 2), InvalidInput);
    CHECK_THROWS_AS(r.marginal(-1), InvalidInput);
  }
}

TEST_CASE("an early end is reported as such, and its duality gap is never negative") {
  Generator generator(33);
  const Problem problem = random_problem(40, 30, generator);
  for (const int iterations : {1, 2, 5, 20})
    for (const Stabilization domain : domains) {
      const Result r = solve(problem, {.epsilon = 0.01,
                                       .max_iterations = iterations,
                                       .tolerance = 1e-14,
                                       .stabilization = domain,
                                       .relaxation = 1});
      CHECK(r.status == TransportStatus::max_iterations);
      CHECK_FALSE(r.converged);
      CHECK(r.iterations == iterations);
      CHECK(r.errors.size() == static_cast<std::size_t>(iterations));
      const double error = sum_of_differences(r.marginal(1), problem.a) + sum_of_differences(r.marginal(0), problem.b);
      CHECK(r.marginal_error == doctest::Approx(error).epsilon(1e-9));
      CHECK(r.errors.back() == doctest::Approx(error).epsilon(1e-4));
      const Result best = solve(problem, {.epsilon = 0.01, .max_iterations = 100'000});
      CHECK(r.dual_cost <= best.regularized_cost + 1e-9);
    }
}

TEST_CASE("permutations, shifts and transposition carry over to the plan") {
  Generator generator(34);
  const Problem problem = random_problem(19, 26, generator);
  const SinkhornOptions options{.epsilon = 0.02, .tolerance = 1e-13};
  const RowMatrix<double> plan = solve(problem, options).plan();

  Problem permuted = problem;
  std::vector<Index> rows(19), cols(26);
  std::iota(rows.begin(), rows.end(), 0);
  std::iota(cols.begin(), cols.end(), 0);
  std::shuffle(rows.begin(), rows.end(), generator);
  std::shuffle(cols.begin(), cols.end(), generator);
  RowMatrix<double> wanted(19, 26);
  for (Index i = 0; i < 19; ++i)
    for (Index j = 0; j < 26; ++j) {
      const Index from_i = rows[std::size_t(i)], from_j = cols[std::size_t(j)];
      permuted.cost(i, j) = problem.cost(from_i, from_j);
      permuted.a[std::size_t(i)] = problem.a[std::size_t(from_i)];
      permuted.b[std::size_t(j)] = problem.b[std::size_t(from_j)];
      wanted(i, j) = plan(from_i, from_j);
    }
  CHECK(largest_difference(solve(permuted, options).plan(), wanted) <= 1e-11);

  Problem shifted = problem;
  for (Index i = 0; i < 19; ++i) shifted.cost.row(i).array() += 0.1 * double(i) - 3;
  shifted.cost.col(3).array() += 5;
  CHECK(largest_difference(solve(shifted, options).plan(), plan) <= 1e-11);

  const Problem transposed{problem.cost.transpose(), problem.b, problem.a};
  CHECK(largest_difference(RowMatrix<double>(solve(transposed, options).plan().transpose()), plan) <= 1e-11);

  Problem scaled = problem;
  for (auto* masses : {&scaled.a, &scaled.b})
    for (double& mass : *masses) mass *= 1000;
  const Result heavy = solve(scaled, options);
  CHECK(largest_difference(RowMatrix<double>(heavy.plan() / 1000), plan) <= 1e-11);
  CHECK(heavy.marginal_error <= 2e-13);
}

TEST_CASE("a warm start ends at once, and a solver serves any shape without allocating again") {
  Generator generator(35);
  const Problem problem = random_problem(40, 50, generator), other = random_problem(7, 90, generator);
  Sinkhorn<double> sinkhorn({.epsilon = 0.01, .tolerance = 1e-10}, test_device(2));
  const Result first = sinkhorn.solve(problem.cost, problem.a, problem.b);
  CHECK(first.converged);
  const Result warm = sinkhorn.solve(problem.cost, problem.a, problem.b, &first);
  CHECK(warm.converged);
  CHECK(warm.iterations <= 2);
  CHECK(first.iterations > 20);
  CHECK(sinkhorn.solve(other.cost, other.a, other.b).converged);
  CHECK_THROWS_AS(sinkhorn.solve(other.cost, other.a, other.b, &first), InvalidInput);

  Result again;
  sinkhorn.solve_into(problem.cost, problem.a, problem.b, again);
  CHECK(identical(again.plan(), first.plan()));
  const long before = allocations();
  sinkhorn.solve_into(problem.cost, problem.a, problem.b, again);
  sinkhorn.solve_into(problem.cost, problem.a, problem.b, again, &again);
  if (counts_allocations) CHECK(allocations() == before);
  CHECK(again.iterations <= 2);
}

TEST_CASE("the number of threads changes nothing beyond rounding") {
  Generator generator(36);
  const Problem problem = random_problem(301, 270, generator);
  for (const Stabilization domain : {Stabilization::automatic, Stabilization::log}) {
    const SinkhornOptions options{.epsilon = 0.02, .tolerance = 1e-11, .stabilization = domain};
    const Result one = Sinkhorn<double>(options, test_device(1)).solve(problem.cost, problem.a, problem.b);
    const Result two = Sinkhorn<double>(options, test_device(2)).solve(problem.cost, problem.a, problem.b);
    CHECK(one.converged);
    CHECK(largest_difference(one.plan(), two.plan()) <= 1e-12);
    CHECK(identical(two.plan(),
                    Sinkhorn<double>(options, test_device(2)).solve(problem.cost, problem.a, problem.b).plan()));
  }
}

TEST_CASE("a callback sees every check and can stop the run") {
  Generator generator(37);
  const Problem problem = random_problem(20, 20, generator);
  std::vector<double> seen;
  SinkhornOptions options{.epsilon = 0.005, .tolerance = 1e-12, .check_interval = 3};
  options.progress = [&](const swav::SinkhornProgress& progress) {
    CHECK(progress.iterations == 3 * (int(seen.size()) + 1));
    CHECK(progress.epsilon == 0.005);
    seen.push_back(progress.marginal_error);
    return seen.size() < 5;
  };
  const Result r = solve(problem, options);
  CHECK(r.status == TransportStatus::stopped);
  CHECK_FALSE(r.converged);
  CHECK(r.iterations == 15);
  CHECK(r.errors == seen);
  CHECK(without_nan(r));
}

TEST_CASE("the call that docs/sinkhorn.md shows") {
  Generator generator(38);
  const Problem problem = random_problem(12, 15, generator);
  const RowMatrix<double>& cost = problem.cost;
  const std::vector<double>&a = problem.a, &b = problem.b;
  const RowMatrix<double> x = normal_matrix(15, 2, generator);
  // [solve]
  swav::Sinkhorn<double> ot{{.epsilon = 1e-2, .max_iterations = 10'000, .tolerance = 1e-9}};
  auto r = ot.solve(cost, a, b);  // cost n x m; masses a (n), b (m): any contiguous range, or {} for uniform
  if (!r.converged) throw std::runtime_error("marginals off by " + std::to_string(r.marginal_error));
  swav::RowMatrix<double> plan = r.plan();       // n x m
  swav::RowMatrix<double> moved = r.apply(x);    // plan x, without the plan
  std::vector<double> row_sums = r.marginal(1);  // a, to the tolerance
  // [solve]
  CHECK(largest_difference(moved, RowMatrix<double>(plan * x)) <= 1e-14);
  CHECK(sum_of_differences(row_sums, a) <= 1e-9);
}

TEST_CASE("adaptive relaxation converges wherever plain iterations do, and seldom takes more of them") {
  Generator generator(77);
  std::uniform_real_distribution<double> uniform(0, 1);
  long plain_total = 0, adaptive_total = 0;
  for (int draw = 0; draw < 150; ++draw) {
    const Index n = 2 + draw % 37, m = 2 + draw % 53, d = 1 + draw % 3;
    const RowMatrix<double> x = normal_matrix(n, d, generator), y = normal_matrix(m, d, generator);
    Problem problem{draw % 3 == 0   ? cost_matrix(swav::PointCost(x, y, swav::Cosine{}))
                    : draw % 3 == 1 ? cost_matrix(swav::PointCost(x, y))
                                    : RowMatrix<double>(RowMatrix<double>::NullaryExpr(
                                          n, m, [&] { return uniform(generator) < 0.5 ? 0.0 : 1.0; })),
                    random_masses(n, generator), random_masses(m, generator)};
    SinkhornOptions options{.epsilon = problem.cost.maxCoeff() * std::pow(10.0, -0.5 - 1.5 * uniform(generator)) + 1e-9,
                            .max_iterations = 20'000,
                            .tolerance = 1e-8};
    const Result adaptive = solve(problem, options);
    options.relaxation = 1;
    const Result plain = solve(problem, options);
    if (!plain.converged) continue;
    CHECK(adaptive.converged);
    CHECK(adaptive.iterations <= 2 * plain.iterations + 50);
    plain_total += plain.iterations;
    adaptive_total += adaptive.iterations;
  }
  CHECK(adaptive_total < 0.75 * static_cast<double>(plain_total));
}

TEST_CASE("two rows and columns that made the relaxation overshoot for good") {
  const RowMatrix<double> cost{{.486026, .017920}, {.071671, .821824}};
  const std::vector<double> a{.587543607, .412456393}, b{.493675631, .506324369};
  const Result r = Sinkhorn<double>{{.epsilon = 0.01}}.solve(cost, a, b);
  CHECK(r.converged);
  CHECK(r.iterations < 400);
}

TEST_CASE("unbalanced: plans of much more mass than was given, and marginals held by a large rho") {
  Generator generator(79);
  Problem problem = random_problem(20, 30, generator);
  SinkhornOptions options{.epsilon = 0.05, .rho_a = 1, .rho_b = 1};
  const double before = problem.cost(0, 0);
  problem.cost.array() -= 10;
  CHECK(problem.cost(0, 0) < before);
  const Result negative = solve(problem, options);
  CHECK(negative.converged);
  CHECK(negative.iterations < 1000);
  CHECK(negative.mass > 10);
  CHECK(std::abs(negative.regularized_cost - negative.dual_cost) <= 1e-6 * std::abs(negative.dual_cost));
  problem.cost.array() += 10;
  for (double& mass : problem.b) mass *= 1000;
  CHECK(solve(problem, options).converged);
  for (double& mass : problem.b) mass /= 1000;
  // The divergences are of second order: their error must not grow with rho.
  const double balanced = solve(problem, {.epsilon = 0.05, .tolerance = 1e-12}).regularized_cost;
  for (const double rho : {1e9, 1e12}) {
    options.rho_a = options.rho_b = rho;
    const Result r = solve(problem, options);
    CAPTURE(rho);
    if (r.converged) CHECK(std::abs(r.regularized_cost - balanced) <= 1e-4);
  }
}
