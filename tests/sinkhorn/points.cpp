// Sinkhorn::solve on points against the same on their cost matrix. In: synthetic points. Out: checks.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "allocations.hpp"
#include "problems.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"
#include "transport_checks.hpp"

namespace {

using namespace swav;
using namespace swav::test;

constexpr double infinity = std::numeric_limits<double>::infinity();

constexpr auto city_block = [](VectorView<const double> x, VectorView<const double> y) {
  double sum = 0;
  for (Index k = 0; k < x.size; ++k) sum += std::abs(x[k] - y[k]);
  return sum;
};
using CityBlock = std::remove_const_t<decltype(city_block)>;

template <class Scalar, class Metric>
struct Pair {
  using scalar = Scalar;
  using metric = Metric;
};

template <class Scalar>
std::vector<Scalar> random_masses(Index size, Generator& generator) {
  std::uniform_real_distribution<double> uniform(0.2, 1);
  std::vector<double> masses(static_cast<std::size_t>(size));
  double total = 0;
  for (double& mass : masses) total += mass = uniform(generator);
  std::vector<Scalar> result;
  for (const double mass : masses) result.push_back(static_cast<Scalar>(mass / total));
  return result;
}

/// max |u - v - constant| over finite entries; infinite where one alone is finite.
double difference_of_potentials(const std::vector<double>& u, const std::vector<double>& v) {
  double lowest = infinity, highest = -infinity;
  for (std::size_t i = 0; i < u.size(); ++i) {
    if (std::isfinite(u[i]) != std::isfinite(v[i])) return infinity;
    if (!std::isfinite(u[i])) continue;
    lowest = std::min(lowest, u[i] - v[i]);
    highest = std::max(highest, u[i] - v[i]);
  }
  return highest - lowest;
}

double largest_difference_of(const std::vector<double>& u, const std::vector<double>& v) {
  double largest = u.size() == v.size() ? 0 : infinity;
  for (std::size_t i = 0; i < std::min(u.size(), v.size()); ++i) largest = std::max(largest, std::abs(u[i] - v[i]));
  return largest;
}

/// Everything that a result says, and another that was found another way. `tolerance` is relative to the largest cost.
template <class One, class Other>
void check_same_transport(const One& found, const Other& wanted, double largest, double tolerance) {
  CHECK(found.status == wanted.status);
  CHECK(std::abs(found.iterations - wanted.iterations) <= 2 + wanted.iterations / 10);
  CHECK(difference_of_potentials(found.f, wanted.f) <= tolerance * largest);
  CHECK(difference_of_potentials(found.g, wanted.g) <= tolerance * largest);
  for (const auto& [a, b] : {std::pair(found.transport_cost, wanted.transport_cost),
                             {found.regularized_cost, wanted.regularized_cost},
                             {found.dual_cost, wanted.dual_cost}})
    CHECK(std::abs(a - b) <= tolerance * largest);
  CHECK(std::abs(found.mass - wanted.mass) <= 100 * tolerance);
  const auto plan = found.plan(), plan_wanted = wanted.plan();
  CHECK(largest_difference(plan, plan_wanted) <= 100 * tolerance * static_cast<double>(plan_wanted.maxCoeff()));
  for (const int axis : {0, 1}) {
    CHECK(largest_difference_of(found.marginal(axis), wanted.marginal(axis)) <= 100 * tolerance);
    using Matrix = std::remove_const_t<decltype(plan)>;
    const Matrix x = Matrix::Random(axis == 1 ? plan.cols() : plan.rows(), 2);
    CHECK(largest_difference(found.apply(x, axis), wanted.apply(x, axis)) <= 100 * tolerance);
  }
}

/// epsilon and rho of the options are parts of the largest cost.
template <class Scalar, class Metric>
void check_points_against_matrix(const PointCost<Scalar, Metric>& cost, const std::vector<Scalar>& a,
                                 const std::vector<Scalar>& b, SinkhornOptions options = {}) {
  const RowMatrix<Scalar> matrix = cost_matrix(cost);
  const auto largest = static_cast<double>(matrix.maxCoeff());
  options.epsilon *= largest;
  options.rho_a *= largest;
  options.rho_b *= largest;
  options.max_iterations = 50'000;
  options.tolerance = 1e-11;
  test::Sinkhorn<Scalar> sinkhorn(options);
  const auto wanted = sinkhorn.solve(matrix, a, b);
  const auto found = sinkhorn.solve(cost, a, b);
  CHECK(found.converged);
  check_same_transport(found, wanted, largest, sizeof(Scalar) < sizeof(double) ? 1e-6 : 1e-10);
  CHECK(sinkhorn.solve(cost, a, b, &found).iterations <= 2);
}

/// Points whose rows lie further apart than they are long.
template <class Scalar>
struct Cloud {
  RowMatrix<Scalar> memory;
  Index dimension;
  Cloud(Index count, Index coordinates, Generator& generator)
      : memory(converted<Scalar>(normal_matrix(count, coordinates + 3, generator))), dimension(coordinates) {}
  operator MatrixView<const Scalar>() const { return {memory.data(), memory.rows(), dimension, memory.cols()}; }
};

}  // namespace

TEST_CASE_TEMPLATE("points are solved as their cost matrix is", P, Pair<double, SquaredEuclidean>,
                   Pair<double, Euclidean>, Pair<double, Cosine>, Pair<double, CityBlock>,
                   Pair<float, SquaredEuclidean>, Pair<float, Euclidean>, Pair<float, Cosine>, Pair<float, CityBlock>) {
  using Scalar = typename P::scalar;
  using Cost = PointCost<Scalar, typename P::metric>;
  Generator generator(70);
  for (const Index dimension : {1, 2, 3, 7, 64}) {
    CAPTURE(dimension);
    const Cloud<Scalar> x(23, dimension, generator), y(31, dimension, generator);
    const std::vector<Scalar> a = random_masses<Scalar>(23, generator), b = random_masses<Scalar>(31, generator);
    for (const Stabilization domain : domains) {
      CAPTURE(int(domain));
      check_points_against_matrix(Cost(x, y), a, b, {.epsilon = 0.05, .stabilization = domain});
    }
  }
  const Cloud<Scalar> x(9, 3, generator), y(700, 3, generator), one(1, 3, generator);
  check_points_against_matrix(Cost(x, y), {}, {});
  check_points_against_matrix(Cost(one, y), {}, {});
  check_points_against_matrix(Cost(y, one), {}, {});
  check_points_against_matrix(Cost(x, y), {}, {}, {.rho_a = 0.3, .rho_b = 2});
  // Masses of 0.
  std::vector<Scalar> a(9, Scalar(0.125)), b(700, Scalar(1) / 512);
  a[4] = 0;
  std::fill(b.begin() + 512, b.end(), Scalar(0));
  check_points_against_matrix(Cost(x, y), a, b);
}

TEST_CASE("a metric's definition is what the cost matrix has") {
  Generator generator(71);
  const RowMatrix<double> x = normal_matrix(600, 5, generator), y = normal_matrix(1100, 5, generator);
  const RowMatrix<double> squares = cost_matrix(PointCost(x, y)), distances = cost_matrix(PointCost(x, y, Euclidean())),
                          cosines = cost_matrix(PointCost(x, y, Cosine())),
                          blocks = cost_matrix(PointCost(x, y, city_block));
  double difference = 0;
  for (Index i = 0; i < x.rows(); i += 7)
    for (Index j = 0; j < y.rows(); j += 3) {
      const auto distance = (x.row(i) - y.row(j)).norm();
      difference =
          std::max({difference, std::abs(squares(i, j) - distance * distance), std::abs(distances(i, j) - distance),
                    std::abs(cosines(i, j) - (1 - x.row(i).normalized().dot(y.row(j).normalized()))),
                    std::abs(blocks(i, j) - (x.row(i) - y.row(j)).lpNorm<1>())});
      const VectorView<const double> from(x.row(i)), to(y.row(j));
      difference =
          std::max({difference, std::abs(squares(i, j) - SquaredEuclidean()(from, to)),
                    std::abs(distances(i, j) - Euclidean()(from, to)), std::abs(cosines(i, j) - Cosine()(from, to))});
    }
  CHECK(difference <= 1e-13);
  RowMatrix<double> with_zero = x.topRows(2);
  with_zero.row(0).setZero();
  CHECK((cost_matrix(PointCost(with_zero, y, Cosine())).row(0).array() == 1).all());
}

TEST_CASE("a cloud onto itself, and points that are there twice") {
  Generator generator(72);
  RowMatrix<double> x = normal_matrix(20, 3, generator);
  x.row(7) = x.row(3);
  for (const Stabilization domain : domains) {
    const auto r =
        test::Sinkhorn<double>{{.epsilon = 0.3, .tolerance = 1e-12, .stabilization = domain}}.solve(PointCost(x, x));
    CHECK(r.converged);
    const RowMatrix<double> plan = r.plan();
    CHECK((plan.row(7) - plan.row(3)).cwiseAbs().maxCoeff() <= 1e-14);
    CHECK((plan - plan.transpose()).cwiseAbs().maxCoeff() <= 1e-11);
  }
}

TEST_CASE("a metric that returns +inf forbids a pair") {
  constexpr auto near = [](VectorView<const double> x, VectorView<const double> y) {
    const double square = SquaredEuclidean()(x, y);
    return square < 6 ? square : infinity;
  };
  Generator generator(73);
  const RowMatrix<double> x = normal_matrix(30, 2, generator), y = normal_matrix(25, 2, generator);
  const PointCost cost(x, y, near);
  const RowMatrix<double> matrix = cost_matrix(cost);
  CHECK(matrix.maxCoeff() == infinity);
  for (const Stabilization domain : domains) {
    test::Sinkhorn<double> sinkhorn({.epsilon = 0.5, .tolerance = 1e-11, .stabilization = domain});
    const auto r = sinkhorn.solve(cost);
    CHECK(r.converged);
    check_same_transport(r, sinkhorn.solve(matrix), 6, 1e-10);
    const RowMatrix<double> far_x = x.array() + 100;
    CHECK(sinkhorn.solve(PointCost(far_x, y, near)).status == TransportStatus::infeasible);
  }
}

TEST_CASE("points that make no cost are named errors, and leave the result as it was") {
  Generator generator(74);
  const RowMatrix<double> x = normal_matrix(6, 2, generator), y = normal_matrix(5, 2, generator);
  test::Sinkhorn<double> sinkhorn({.epsilon = 0.5});
  auto result = sinkhorn.solve(PointCost(x, y));
  const std::vector<double> f = result.f;
  for (const double bad : {1e200, infinity, std::nan("")}) {
    RowMatrix<double> broken = x;
    broken(3, 1) = bad;
    CHECK_THROWS_WITH_AS(sinkhorn.solve_into(PointCost(broken, y), {}, {}, result), doctest::Contains("row 3"),
                         InvalidInput);
    CHECK_THROWS_AS(sinkhorn.solve(PointCost(y, broken)), InvalidInput);
    CHECK(result.f == f);
  }
  // Far apart, and yet right: directions have no size.
  const RowMatrix<double> large_x = 1e200 * x, small_y = 1e-200 * y;
  CHECK(largest_difference(sinkhorn.solve(PointCost(large_x, small_y, Cosine())).plan(),
                           sinkhorn.solve(PointCost(x, y, Cosine())).plan()) <= 1e-12);
  const RowMatrix<double> odd = normal_matrix(5, 3, generator), none(5, 0), empty(0, 2);
  CHECK_THROWS_WITH_AS(PointCost(x, odd), doctest::Contains("2 and 3"), InvalidInput);
  CHECK_THROWS_AS(PointCost(none, none), InvalidInput);
  CHECK_THROWS_AS(sinkhorn.solve(PointCost(x, y), std::vector<double>(5, 0.2)), InvalidInput);
  CHECK_THROWS_AS(sinkhorn.solve(PointCost(empty, y)), InvalidInput);
}

TEST_CASE("Gaussians in the plane have their closed form") {
  // Coordinates with deviations s, t, means 0 and m, epsilon = 2 q^2: the plan's covariance is
  // (sqrt(4 s^2 t^2 + q^4) - q^2)/2 in each (Janati, Muzellec, Peyre, Cuturi 2020, theorem 1).
  const double s[] = {0.7, 1.1}, t[] = {1.2, 0.8}, m[] = {0.5, -1}, q2 = 0.3;
  const Index side = 33;
  RowMatrix<double> x(side * side, 2), y(side * side, 2);
  std::vector<double> a(side * side);
  double total = 0, wanted = 0;
  for (Index i = 0; i < side * side; ++i) {
    const double u[] = {10 * double(i / side) / (side - 1) - 5, 10 * double(i % side) / (side - 1) - 5};
    for (int k : {0, 1}) {
      x(i, k) = s[k] * u[k];
      y(i, k) = m[k] + t[k] * u[k];
    }
    total += a[std::size_t(i)] = std::exp(-(u[0] * u[0] + u[1] * u[1]) / 2);
  }
  for (double& mass : a) mass /= total;
  for (int k : {0, 1})
    wanted += m[k] * m[k] + s[k] * s[k] + t[k] * t[k] - (std::sqrt(4 * s[k] * s[k] * t[k] * t[k] + q2 * q2) - q2);
  const auto r = test::Sinkhorn<double>{{.epsilon = 2 * q2}}.solve(PointCost(x, y), a, a);
  CHECK(r.converged);
  CHECK(r.transport_cost == doctest::Approx(wanted).epsilon(1e-4));
}

TEST_CASE("nothing of the matrix's size is allocated") {
  Generator generator(75);
  const RowMatrix<double> x = normal_matrix(3000, 3, generator), y = normal_matrix(2500, 3, generator);
  for (const Stabilization domain : {Stabilization::automatic, Stabilization::log}) {
    test::Sinkhorn<double> sinkhorn({.epsilon = 5, .max_iterations = 3, .stabilization = domain}, EigenDevice(2));
    test::Sinkhorn<double>::PointResult<SquaredEuclidean> r;
    const PointCost cost(x, y);
    const long before = allocated_bytes();
    sinkhorn.solve_into(cost, {}, {}, r);
    CHECK(r.apply(y).rows() == 3000);
    CHECK(r.marginal(0).size() == 2500);
    // Rows and columns, a dozen numbers each and some for each thread.
    CHECK(allocated_bytes() - before < 500 * (3000 + 2500));
    const long warm = allocations();
    sinkhorn.solve_into(cost, {}, {}, r, &r);
    CHECK(allocations() == warm);
  }
}

TEST_CASE("a temporary matrix lives on in its result, and the thread count changes nothing beyond rounding") {
  Generator generator(76);
  const RowMatrix<double> x = normal_matrix(301, 2, generator), y = normal_matrix(270, 2, generator);
  const PointCost cost(x, y);
  const SinkhornOptions options{.epsilon = 0.5, .tolerance = 1e-11};
  test::Sinkhorn<double> one(options, EigenDevice(1)), two(options, EigenDevice(2));
  const auto kept = one.solve(cost_matrix(cost));
  const auto copy = kept;
  CHECK(largest_difference(kept.plan(), two.solve(cost).plan()) <= 1e-12);
  CHECK(identical(copy.plan(), kept.plan()));
}
