// SinkhornBatch against Sinkhorn::solve on each problem alone. In: synthetic problems, easy and hard, of one shape,
// padded and ragged. Out: checks.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "allocations.hpp"
#include "device_batch.hpp"
#include "problems.hpp"
#include "transport_checks.hpp"

namespace {

using swav::Index;
using swav::InvalidInput;
using swav::KernelStorage;
using swav::MatrixView;
using swav::RowMatrix;
using swav::SinkhornOptions;
using swav::Stabilization;
using swav::TransportStatus;
using swav::VectorView;
using namespace swav::test;

constexpr double infinity = std::numeric_limits<double>::infinity();

/// N problems of shape n x m: costs below one another, masses.
template <class Scalar>
struct Batch {
  Index n;
  RowMatrix<Scalar> costs, a, b;

  [[nodiscard]] Index size() const { return a.rows(); }
  [[nodiscard]] MatrixView<const Scalar> cost(Index k) const {
    return MatrixView<const Scalar>(costs).middle_rows(k * n, n);
  }
  [[nodiscard]] VectorView<const Scalar> mass(const RowMatrix<Scalar>& masses, Index k) const {
    return {masses.row(k).data(), masses.cols()};
  }
};

/// Costs in [0, 1], now and then scaled by up to 8: some problems take tens of times the iterations of others.
template <class Scalar>
Batch<Scalar> random_batch(Index problems, Index n, Index m, Generator& generator, double zero_mass = 0) {
  std::uniform_real_distribution<double> uniform(0, 1);
  const auto masses = [&](Index size) {
    RowMatrix<double> values(problems, size);
    for (Index k = 0; k < problems; ++k) {
      for (Index i = 0; i < size; ++i)
        values(k, i) = i > 0 && uniform(generator) < zero_mass ? 0 : 0.1 + uniform(generator);
      values.row(k) /= values.row(k).sum();
    }
    return converted<Scalar>(values);
  };
  RowMatrix<double> costs(problems * n, m);
  for (Index k = 0; k < problems; ++k) {
    const double scale = k % 3 == 0 ? 8 * uniform(generator) : 1;
    for (Index i = k * n; i < (k + 1) * n; ++i)
      for (Index j = 0; j < m; ++j) costs(i, j) = scale * uniform(generator);
  }
  return {n, converted<Scalar>(costs), masses(n), masses(m)};
}

/// Whether problem k of the result is what `alone` is: an equal end, plans and costs within `tolerance`.
template <class Scalar>
bool equals(const typename SinkhornBatch<Scalar>::Result& batch, Index k,
            const typename Sinkhorn<Scalar>::Result& alone, double tolerance) {
  const auto near = [&](double x, double y) {
    return x == y || std::abs(x - y) <= tolerance * std::max(1.0, std::abs(y));
  };
  const swav::BatchSummary& found = batch[k];
  const RowMatrix<Scalar> plan = alone.plan();
  return found.status == alone.status && found.converged == alone.converged && near(found.mass, alone.mass) &&
         near(found.transport_cost, alone.transport_cost) && near(found.regularized_cost, alone.regularized_cost) &&
         near(found.dual_cost, alone.dual_cost) && near(found.entropy, alone.entropy) &&
         near(found.marginal_error, alone.marginal_error) &&
         largest_difference(RowMatrix<Scalar>(batch.plan(k).topLeftCorner(plan.rows(), plan.cols())), plan) <=
             tolerance;
}

template <class Scalar>
void check_against_alone(const Batch<Scalar>& batch, const SinkhornOptions& options, double tolerance) {
  const auto found = SinkhornBatch<Scalar>(options, test_device(2)).solve(batch.costs, batch.n, batch.a, batch.b);
  Sinkhorn<Scalar> alone(options, test_device(1));
  REQUIRE(found.size() == batch.size());
  CAPTURE(batch.n);
  CAPTURE(batch.costs.cols());
  for (Index k = 0; k < batch.size(); ++k) {
    CAPTURE(k);
    const auto wanted = alone.solve(batch.cost(k), batch.mass(batch.a, k), batch.mass(batch.b, k));
    CHECK(equals<Scalar>(found, k, wanted, tolerance));
  }
}

}  // namespace

TEST_CASE_TEMPLATE("a problem of a batch gets what it gets alone", Scalar, float, double, long double, Eigen::half) {
  Generator generator(50);
  const double rounding = sizeof(Scalar) == 2 ? 1e-3 : sizeof(Scalar) == 4 ? 1e-6 : 1e-11;
  for (const auto& [n, m] : std::vector<std::pair<Index, Index>>{{1, 1}, {1, 7}, {5, 1}, {4, 4}, {13, 9}, {40, 33}})
    for (const double zero_mass : {0.0, 0.3})
      check_against_alone(
          random_batch<Scalar>(21, n, m, generator, zero_mass),
          {.epsilon = 0.05, .tolerance = rounding < 1e-9 ? 1e-11 : 1e-5, .kernel_storage = KernelStorage::full},
          rounding);
}

TEST_CASE("a batch takes every option that solve takes") {
  Generator generator(51);
  const Batch<double> batch = random_batch<double>(slowness > 1 ? 5 : 19, 6, 5, generator, 0.2);
  const SinkhornOptions options{
      .epsilon = 0.02, .max_iterations = 3000, .tolerance = 1e-10, .kernel_storage = KernelStorage::full};
  const auto check = [&](auto change) {
    SinkhornOptions other = options;
    change(other);
    check_against_alone(batch, other, 1e-8);
  };
  for (const Stabilization domain : domains) check([&](SinkhornOptions& o) { o.stabilization = domain; });
  for (const double relaxation : {1.0, 1.5}) check([&](SinkhornOptions& o) { o.relaxation = relaxation; });
  check([](SinkhornOptions& o) { o.rho_a = 0.5, o.rho_b = 2; });
  check([](SinkhornOptions& o) { o.epsilon_start_factor = 20; });
  check([](SinkhornOptions& o) { o.check_interval = 7; });
  check([](SinkhornOptions& o) { o.max_iterations = 1; });
  check([](SinkhornOptions& o) { o.kernel_storage = KernelStorage::automatic; });
  check([](SinkhornOptions& o) { o.epsilon = 1e-5; });
}

TEST_CASE("the padding of problems is not read") {
  Generator generator(52);
  Batch<double> batch = random_batch<double>(30, 7, 6, generator);
  std::vector<Index> rows, cols;
  for (Index k = 0; k < batch.size(); ++k) {
    rows.push_back(1 + k % 7);
    cols.push_back(1 + (k * 5) % 6);
    MatrixView<double> cost = MatrixView<double>(batch.costs).middle_rows(k * 7, 7);
    for (Index i = 0; i < 7; ++i)
      for (Index j = 0; j < 6; ++j)
        if (i >= rows.back() || j >= cols.back()) cost(i, j) = std::nan("");
  }
  const SinkhornOptions options{.epsilon = 0.2, .tolerance = 1e-12, .kernel_storage = KernelStorage::full};
  const auto found = SinkhornBatch<double>(options).solve(batch.costs, 7, {}, {}, {rows, cols});
  CHECK(found.converged());
  const RowMatrix<double> plans = found.plans();
  CHECK(plans.rows() == 30 * 7);
  for (Index k = 0; k < batch.size(); ++k) {
    CAPTURE(k);
    const Index n = rows[std::size_t(k)], m = cols[std::size_t(k)];
    const RowMatrix<double> cost = batch.costs.block(k * 7, 0, n, m);
    const auto alone = Sinkhorn<double>(options).solve(cost);
    CHECK(equals<double>(found, k, alone, 1e-11));
    RowMatrix<double> padded = RowMatrix<double>::Zero(7, 6);
    padded.topLeftCorner(n, m) = alone.plan();
    CHECK(largest_difference(RowMatrix<double>(plans.middleRows(k * 7, 7)), padded) <= 1e-11);
    CHECK(std::count(found.f_of(k).begin(), found.f_of(k).end(), -infinity) == 7 - n);
    CHECK(std::count(found.g_of(k).begin(), found.g_of(k).end(), -infinity) == 6 - m);
  }
  const std::vector<Index> too_many(30, 8);
  CHECK_THROWS_WITH_AS(SinkhornBatch<double>(options).solve(batch.costs, 7, {}, {}, {.rows = too_many}),
                       "SinkhornBatch: problem 0: sizes.rows 8 found, 1 to 7 wanted", InvalidInput);
}

TEST_CASE("the problems of a list have any shapes") {
  Generator generator(53);
  std::vector<RowMatrix<double>> costs;
  std::vector<std::vector<double>> masses;
  for (const auto& [n, m] :
       std::vector<std::pair<Index, Index>>{{3, 4}, {90, 80}, {1, 3000}, {1, 1}, {3, 4}, {4, 3}, {2, 50}, {3000, 1}}) {
    costs.push_back(RowMatrix<double>(normal_matrix(n, m, generator).cwiseAbs()));
    masses.emplace_back(std::size_t(n), 1.0 / double(n * n));  // total 1/n
    masses.back().front() += 1 - 1 / double(n);
  }
  const SinkhornOptions options{.tolerance = 1e-11, .kernel_storage = KernelStorage::full};
  const std::vector<MatrixView<const double>> views(costs.begin(), costs.end());
  const std::vector<VectorView<const double>> a(masses.begin(), masses.end());
  const auto found = SinkhornBatch<double>(options).solve(views, a);
  REQUIRE(found.size() == 8);
  for (std::size_t k = 0; k < costs.size(); ++k) {
    CAPTURE(k);
    const auto alone = Sinkhorn<double>(options, test_device(1)).solve(costs[k], masses[k]);
    CHECK(equals<double>(found, Index(k), alone, 1e-10));
    CHECK(found.f_of(Index(k)).size == costs[k].rows());
    CHECK(found.g_of(Index(k)).size == costs[k].cols());
  }
  CHECK_THROWS_AS(found.plans(), InvalidInput);
  CHECK_THROWS_AS(found.plan(8), InvalidInput);
  CHECK(SinkhornBatch<double>().solve(std::vector<MatrixView<const double>>{}).size() == 0);
}

TEST_CASE("a problem without a solution leaves the others alone") {
  Generator generator(54);
  Batch<double> batch = random_batch<double>(20, 4, 4, generator);
  batch.costs.row(9 * 4 + 2).setConstant(infinity);  // nowhere to go: infeasible
  batch.costs(13 * 4, 1) = infinity;                 // forbidden, yet feasible
  batch.costs.middleRows(15 * 4, 4) *= 1e9;          // hopeless
  const auto found = SinkhornBatch<double>({.max_iterations = 200}).solve(batch.costs, 4, batch.a, batch.b);
  CHECK(found[9].status == TransportStatus::infeasible);
  CHECK(found[9].transport_cost == infinity);
  CHECK(found.plan(9).sum() == 0);
  CHECK(found[13].converged);
  CHECK(found.plan(13)(0, 1) == 0);
  CHECK_FALSE(found[15].converged);
  CHECK(found.plan(15).allFinite());
  CHECK(found.count(TransportStatus::infeasible) == 1);
  CHECK_FALSE(found.converged());
  check_against_alone(batch, {.max_iterations = 200, .kernel_storage = KernelStorage::full}, 1e-8);
}

TEST_CASE("results do not depend on the number of threads, and a second call allocates nothing") {
  Generator generator(55);
  for (const Index n : {3, 70}) {
    const Batch<float> batch = random_batch<float>(n == 3 ? 3001 : 40, n, n, generator, 0.1);
    const SinkhornOptions options{.epsilon = 0.03, .max_iterations = 300};
    const auto one = SinkhornBatch<float>(options, test_device(1)).solve(batch.costs, n, batch.a, batch.b);
    auto two = SinkhornBatch<float>(options, test_device(2)).solve(batch.costs, n, batch.a, batch.b);
    const auto same = [](const auto& x, const auto& y) {
      return std::equal(x.problems.begin(), x.problems.end(), y.problems.begin(), y.problems.end(),
                        [](const swav::BatchSummary& p, const swav::BatchSummary& q) {
                          return p.status == q.status && p.iterations == q.iterations && p.dual_cost == q.dual_cost &&
                                 p.transport_cost == q.transport_cost && p.marginal_error == q.marginal_error;
                        }) &&
             x.f == y.f && x.g == y.g;
    };
    CHECK(same(one, two));

    SinkhornBatch<float> again(options, test_device(1));
    again.solve_into(batch.costs, n, batch.a, batch.b, {}, two);
    const long before = allocations();
    again.solve_into(batch.costs, n, batch.a, batch.b, {}, two);
    if (counts_allocations) CHECK(allocations() == before);
    CHECK(same(one, two));
  }
}

TEST_CASE("bad input is named with its problem, and the result stays as it was") {
  Generator generator(56);
  Batch<double> batch = random_batch<double>(2000, 3, 3, generator);
  SinkhornBatch<double> sinkhorn({}, test_device(2));
  SinkhornBatch<double>::Result result;
  sinkhorn.solve_into(batch.costs, 3, batch.a, batch.b, {}, result);
  const std::vector<double> f = result.f;
  const auto check_message = [&](const std::string& wanted) {
    std::string message;
    try {
      sinkhorn.solve_into(batch.costs, 3, batch.a, batch.b, {}, result);
    } catch (const InvalidInput& error) {
      message = error.what();
    }
    CAPTURE(message);
    CHECK(message.find(wanted) != std::string::npos);
    CHECK(result.f == f);
    CHECK(result.size() == 2000);
  };
  batch.costs(3 * 1999, 0) = std::nan("");
  check_message("problem 1999: ");
  batch.a(1203, 1) = -0.5;
  batch.a(1204, 1) = -0.5;
  check_message("problem 1203: Sinkhorn::solve: a[1] = -0.5 found, a finite mass >= 0 wanted");
  batch.b(700, 2) += 1;
  check_message("problem 700: ");

  const RowMatrix<double>& costs = batch.costs;
  CHECK_THROWS_AS(sinkhorn.solve(costs, 7), InvalidInput);
  CHECK_THROWS_AS(sinkhorn.solve(costs, 0), InvalidInput);
  CHECK_THROWS_AS(sinkhorn.solve(costs, 3, batch.a.topRows(3)), InvalidInput);
  CHECK_THROWS_AS(sinkhorn.solve(costs, 3, batch.a, batch.b, {.rows = std::vector<Index>(3, 1)}), InvalidInput);
  CHECK_THROWS_AS(sinkhorn.solve(std::vector<MatrixView<const double>>(2)), InvalidInput);
  CHECK_THROWS_AS(SinkhornBatch<double>({.epsilon = -1}), InvalidInput);
  CHECK_THROWS_AS(SinkhornBatch<double>({.progress = [](const swav::SinkhornProgress&) { return true; }}),
                  InvalidInput);
  CHECK(sinkhorn.solve(RowMatrix<double>(0, 3), 3).size() == 0);
}

TEST_CASE("the call that docs/sinkhorn.md shows for batches") {
  Generator generator(57);
  const Batch<float> batch = random_batch<float>(50, 4, 5, generator);
  const RowMatrix<float>&costs = batch.costs, &a = batch.a, &b = batch.b;
  const std::vector<Index> rows(50, 3);
  // [batch]
  swav::SinkhornBatch<float> ot{{.epsilon = 0.05, .tolerance = 1e-3}};
  auto r = ot.solve(costs, 4, a, b);  // N problems of 4 rows, below one another: costs (4 N) x m, a N x 4, b N x m
  auto some = ot.solve(costs, 4, {}, {}, {.rows = rows});  // of problem k only the first rows[k] rows count
  if (!r.converged()) std::printf("%td of %td converged\n", r.count(swav::TransportStatus::converged), r.size());
  double cost = r[7].transport_cost;         // as of Sinkhorn::solve's result
  swav::RowMatrix<float> plan = r.plan(7);   // 4 x m
  swav::RowMatrix<float> plans = r.plans();  // (4 N) x m
  // [batch]
  CHECK(r.converged());
  CHECK(some.converged());
  CHECK(cost == doctest::Approx((batch.costs.middleRows(28, 4).cwiseProduct(plan)).sum()).epsilon(1e-6));
  CHECK(identical(RowMatrix<float>(plans.middleRows(28, 4)), plan));
}
