// Gradients of a transport's value and through its plan, against central differences. In: synthetic problems. Out:
// checks.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "devices.hpp"
#include "problems.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/gradient_passes.hpp"
#endif

namespace {

using swav::Cosine;
using swav::cost_matrix;
using swav::Euclidean;
using swav::Index;
using swav::InvalidInput;
using swav::PointCost;
using swav::RowMatrix;
using swav::SinkhornOptions;
using swav::SquaredEuclidean;
using swav::VectorView;
using namespace swav::test;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double step = 1e-5;

struct Sides {
  double rho_a, rho_b;
};
const std::vector<Sides> all_sides{{infinity, infinity}, {0.7, infinity}, {infinity, 0.4}, {0.6, 0.9}};

SinkhornOptions options_for(Sides sides) {
  return {.epsilon = 0.2, .max_iterations = 100'000, .tolerance = 1e-14, .rho_a = sides.rho_a, .rho_b = sides.rho_b};
}

struct Problem {
  RowMatrix<double> x, y;
  std::vector<double> a, b;
};

Problem random_problem(std::uint64_t seed) {
  Generator generator(seed);
  std::uniform_real_distribution<double> uniform(0.5, 1.5);
  Problem p{normal_matrix(7, 3, generator) / 2, normal_matrix(5, 3, generator) / 2, std::vector<double>(7),
            std::vector<double>(5)};
  double total_a = 0, total_b = 0;
  for (double& mass : p.a) total_a += mass = uniform(generator);
  for (double& mass : p.b) total_b += mass = uniform(generator);
  for (double& mass : p.b) mass *= total_a / total_b;
  return p;
}

/// d f/d value by central differences.
double difference(double& value, const std::function<double()>& f) {
  const double before = value;
  value = before + step;
  const double above = f();
  value = before - step;
  const double below = f();
  value = before;
  return (above - below) / (2 * step);
}

/// The derivative along masses moved from the last entry to entry i, which keeps the total.
double difference_of_masses(std::vector<double>& masses, std::size_t i, const std::function<double()>& f) {
  double moved = 0;
  const std::vector<double> before = masses;
  const double slope = difference(moved, [&] {
    masses = before;
    masses[i] += moved;
    masses.back() -= moved;
    return f();
  });
  masses = before;
  return slope;
}

void check_close(double found, double wanted) { CHECK(std::abs(found - wanted) <= 1e-6 * (1 + std::abs(wanted))); }

struct CityBlock {
  SWAV_HOST_DEVICE double operator()(VectorView<const double> x, VectorView<const double> y) const {
    double sum = 0;
    for (Index k = 0; k < x.size; ++k) sum += std::abs(x[k] - y[k]);
    return sum;
  }
  SWAV_HOST_DEVICE void add_gradient(VectorView<const double> x, VectorView<const double> y, double weight,
                                     double* out) const {
    for (Index k = 0; k < x.size; ++k) out[k] += x[k] > y[k] ? weight : -weight;
  }
};

}  // namespace

TEST_CASE("gradients of the value with respect to cost and masses are its differences") {
  for (const Sides sides : all_sides) {
    CAPTURE(sides.rho_a);
    CAPTURE(sides.rho_b);
    Problem p = random_problem(1);
    RowMatrix<double> cost = cost_matrix(PointCost<double>(p.x, p.y));
    Sinkhorn<double> sinkhorn(options_for(sides));
    const auto value = [&] { return sinkhorn.solve(cost, p.a, p.b).regularized_cost; };
    const auto result = sinkhorn.solve(cost, p.a, p.b);
    REQUIRE(result.converged);
    const RowMatrix<double> by_cost = result.plan();
    check_close(by_cost(3, 2), difference(cost(3, 2), value));
    const std::vector<double> by_a = gradient_a(result), by_b = gradient_b(result);
    const bool balanced = std::isinf(sides.rho_a) && std::isinf(sides.rho_b);
    for (std::size_t i = 0; i + 1 < p.a.size(); ++i)
      check_close(by_a[i] - by_a.back(), difference_of_masses(p.a, i, value));
    for (std::size_t j = 0; j + 1 < p.b.size(); ++j)
      check_close(by_b[j] - by_b.back(), difference_of_masses(p.b, j, value));
    if (!balanced) {
      check_close(by_a[4], difference(p.a[4], value));
      check_close(by_b[1], difference(p.b[1], value));
      continue;
    }
    // Both totals together.
    double factor = 1;
    const std::vector<double> a = p.a, b = p.b;
    const double slope = difference(factor, [&] {
      for (std::size_t i = 0; i < a.size(); ++i) p.a[i] = a[i] * factor;
      for (std::size_t j = 0; j < b.size(); ++j) p.b[j] = b[j] * factor;
      return value();
    });
    double along = 0;
    for (std::size_t i = 0; i < a.size(); ++i) along += by_a[i] * a[i];
    for (std::size_t j = 0; j < b.size(); ++j) along += by_b[j] * b[j];
    check_close(along, slope);
  }
}

TEST_CASE("a mass that is 0 has the gradient of the first mass that comes") {
  for (const Sides sides : all_sides) {
    Problem p = random_problem(2);
    p.a[2] += p.a[0];
    p.a[0] = 0;
    p.b[1] += p.b[3];
    p.b[3] = 0;
    const RowMatrix<double> cost = cost_matrix(PointCost<double>(p.x, p.y));
    Sinkhorn<double> sinkhorn(options_for(sides));
    const auto result = sinkhorn.solve(cost, p.a, p.b);
    const auto slope = [&](std::vector<double>& masses, std::size_t to, std::size_t from) {
      const double h = 1e-7;
      masses[to] += h;
      masses[from] -= h;
      const double moved = sinkhorn.solve(cost, p.a, p.b).regularized_cost;
      masses[to] -= h;
      masses[from] += h;
      return (moved - result.regularized_cost) / h;
    };
    const std::vector<double> by_a = gradient_a(result), by_b = gradient_b(result);
    CHECK(std::abs(by_a[0] - by_a[2] - slope(p.a, 0, 2)) <= 1e-5);
    CHECK(std::abs(by_b[3] - by_b[1] - slope(p.b, 3, 1)) <= 1e-5);
  }
}

TEST_CASE_TEMPLATE("gradients with respect to points are the value's differences", Metric, SquaredEuclidean, Euclidean,
                   Cosine, CityBlock) {
  for (const Sides sides : all_sides) {
    Problem p = random_problem(3);
    Sinkhorn<double> sinkhorn(options_for(sides));
    const auto value = [&] { return sinkhorn.solve(PointCost<double, Metric>(p.x, p.y), p.a, p.b).regularized_cost; };
    const auto result = sinkhorn.solve(PointCost<double, Metric>(p.x, p.y), p.a, p.b);
    REQUIRE(result.converged);
    const RowMatrix<double> by_x = on_host(gradient_x(result)), by_y = on_host(gradient_y(result));
    REQUIRE(by_x.rows() == p.x.rows());
    REQUIRE(by_y.rows() == p.y.rows());
    for (Index i = 0; i < p.x.size(); i += 4) check_close(by_x.data()[i], difference(p.x.data()[i], value));
    for (Index j = 0; j < p.y.size(); j += 3) check_close(by_y.data()[j], difference(p.y.data()[j], value));
    // The same by way of the cost's gradient.
    const RowMatrix<double> by_cost = result.plan(), by_cost_turned = by_cost.transpose();
    const PointCost<double, Metric> turned(p.y, p.x);
    const auto through_cost = [](const auto& points, const RowMatrix<double>& by) {
      return points_gradient_of(points, by);
    };
    CHECK(largest_difference(through_cost(PointCost<double, Metric>(p.x, p.y), by_cost), by_x) <= 1e-12);
    CHECK(largest_difference(through_cost(turned, by_cost_turned), by_y) <= 1e-12);
  }
}

TEST_CASE_TEMPLATE("gradients of a divergence are its differences", Metric, SquaredEuclidean, Cosine) {
  for (const Sides sides : {all_sides.front(), Sides{0.6, 0.6}}) {
    Problem p = random_problem(11);
    const auto divergence = [&] { return divergence_of(PointCost(p.x, p.y, Metric{}), p.a, p.b, options_for(sides)); };
    const auto value = [&] { return divergence().value; };
    const auto result = divergence();
    REQUIRE(result.converged);
    const RowMatrix<double> by_x = on_host(gradient_x(result)), by_y = on_host(gradient_y(result));
    for (Index i = 0; i < p.x.size(); i += 4) check_close(by_x.data()[i], difference(p.x.data()[i], value));
    for (Index j = 0; j < p.y.size(); j += 3) check_close(by_y.data()[j], difference(p.y.data()[j], value));
  }
}

TEST_CASE("gradients through the plan are differences of what is made from it") {
  for (const Sides sides : all_sides) {
    CAPTURE(sides.rho_a);
    CAPTURE(sides.rho_b);
    Problem p = random_problem(4);
    RowMatrix<double> cost = cost_matrix(PointCost<double>(p.x, p.y));
    Generator generator(5);
    const RowMatrix<double> weights = normal_matrix(7, 5, generator);
    Sinkhorn<double> sinkhorn(options_for(sides));
    // Of something that is not linear in the plan: sum W P + sum P^2.
    const auto value = [&] {
      const RowMatrix<double> plan = sinkhorn.solve(cost, p.a, p.b).plan();
      return weights.cwiseProduct(plan).sum() + plan.squaredNorm();
    };
    const auto result = sinkhorn.solve(cost, p.a, p.b);
    const RowMatrix<double> grad_plan = weights + 2 * result.plan();
    const auto gradients = plan_gradients_of(result, grad_plan);
    CHECK(gradients.converged);
    CHECK(gradients.residual <= 1e-10);
    CHECK(gradients.iterations <= 8);  // 5 columns
    const RowMatrix<double> by_cost = on_host(gradients.cost);
    for (Index i = 0; i < cost.size(); i += 3) check_close(by_cost.data()[i], difference(cost.data()[i], value));
    for (std::size_t i = 0; i + 1 < p.a.size(); ++i)
      check_close(gradients.a[i] - gradients.a.back(), difference_of_masses(p.a, i, value));
    for (std::size_t j = 0; j + 1 < p.b.size(); ++j)
      check_close(gradients.b[j] - gradients.b.back(), difference_of_masses(p.b, j, value));
    if (std::isinf(sides.rho_a) && std::isinf(sides.rho_b)) continue;
    check_close(gradients.a[2], difference(p.a[2], value));
    check_close(gradients.b[2], difference(p.b[2], value));
  }
}

TEST_CASE("a mask stays out of the gradients through the plan, and forbidden pairs have none") {
  Problem p = random_problem(6);
  p.a[1] = p.b[2] = 0;
  double total_a = 0, total_b = 0;
  for (const double mass : p.a) total_a += mass;
  for (const double mass : p.b) total_b += mass;
  for (double& mass : p.b) mass *= total_a / total_b;
  RowMatrix<double> cost = cost_matrix(PointCost<double>(p.x, p.y));
  cost(4, 0) = infinity;
  Sinkhorn<double> sinkhorn(options_for({infinity, infinity}));
  Generator generator(7);
  const RowMatrix<double> weights = normal_matrix(7, 5, generator);
  const auto gradients = plan_gradients_of(sinkhorn.solve(cost, p.a, p.b), weights);
  CHECK(gradients.converged);
  const RowMatrix<double> by_cost = on_host(gradients.cost);
  CHECK(by_cost.row(1).isZero(0));
  CHECK(by_cost.col(2).isZero(0));
  CHECK(by_cost(4, 0) == 0);
  CHECK(gradients.a[1] == 0);
  CHECK(gradients.b[2] == 0);
  check_close(by_cost(0, 0), difference(cost(0, 0), [&] {
                return weights.cwiseProduct(sinkhorn.solve(cost, p.a, p.b).plan()).sum();
              }));
  CHECK_THROWS_AS((void)plan_gradients_of(sinkhorn.solve(cost, p.a, p.b), RowMatrix<double>(7, 4)), InvalidInput);
}

TEST_CASE("gradients of any size, and of points of any size") {
  const Problem p = random_problem(12);
  const RowMatrix<double> cost = cost_matrix(PointCost(p.x, p.y));
  const auto result = Sinkhorn<double>(options_for({infinity, infinity})).solve(cost, p.a, p.b);
  Generator generator(13);
  const RowMatrix<double> weights = normal_matrix(7, 5, generator);
  const RowMatrix<double> wanted = on_host(plan_gradients_of(result, weights).cost);
  for (const double scale : {1e-200, 1e200}) {
    const auto found = plan_gradients_of(result, RowMatrix<double>(weights * scale));
    CHECK(found.converged);
    CHECK((on_host(found.cost) / scale - wanted).cwiseAbs().maxCoeff() <= 1e-9);
  }
  RowMatrix<double> broken = weights;
  broken(2, 2) = std::nan("");
  CHECK_THROWS_AS((void)plan_gradients_of(result, broken), InvalidInput);
  CHECK_THROWS_AS((void)plan_gradients_of(result, weights, {.max_iterations = -1}), InvalidInput);

  const RowMatrix<double> by_x =
      on_host(gradient_x(Sinkhorn<double>({.epsilon = 0.1}).solve(PointCost(p.x, p.y, Cosine{}))));
  for (const double scale : {1e-200, 1e160}) {
    const RowMatrix<double> x = p.x * scale, y = p.y * scale;
    const RowMatrix<double> scaled =
        on_host(gradient_x(Sinkhorn<double>({.epsilon = 0.1}).solve(PointCost(x, y, Cosine{}))));
    CHECK((scaled * scale - by_x).cwiseAbs().maxCoeff() <= 1e-9);
  }
}

TEST_CASE("gradients do not depend on the thread count, and float has them, too") {
  Generator generator(8);
  const RowMatrix<double> x = normal_matrix(200, 2, generator), y = normal_matrix(300, 2, generator);
  Sinkhorn<double> one({.epsilon = 0.1}, test_device(1)), two({.epsilon = 0.1}, test_device(2));
  const auto first = one.solve(PointCost<double>(x, y)), second = two.solve(PointCost<double>(x, y));
  const RowMatrix<double> by_first = on_host(gradient_x(first));
  CHECK((by_first - on_host(gradient_x(second))).cwiseAbs().maxCoeff() <= 1e-10);
  CHECK((on_host(gradient_y(first)) - on_host(gradient_y(second))).cwiseAbs().maxCoeff() <= 1e-10);
  const RowMatrix<float> x_float = x.cast<float>(), y_float = y.cast<float>();
  const RowMatrix<float> by_x =
      on_host(gradient_x(Sinkhorn<float>({.epsilon = 0.1}).solve(PointCost<float>(x_float, y_float))));
  CHECK((by_x.cast<double>() - by_first).cwiseAbs().maxCoeff() <= 1e-5);
}

#if !defined(SWAV_TEST_THRUST) && !defined(SWAV_TEST_CUDA)  // what the documentation shows is for the CPU
TEST_CASE("the documentation's gradients are right") {
  const Problem p = random_problem(9);
  const RowMatrix<double>&x = p.x, &y = p.y;
  const std::vector<double>&a = p.a, &b = p.b;
  Generator generator(10);
  const RowMatrix<double> grad_plan = normal_matrix(7, 5, generator);
  Sinkhorn<double> sinkhorn({.epsilon = 0.2, .tolerance = 1e-13});
  // [gradients]
  auto r = sinkhorn.solve(swav::PointCost<double>(x, y), a, b);
  swav::RowMatrix<double> by_cost = r.plan();          // n x m
  std::vector<double> by_a = swav::gradient_a(r);      // n; by_b alike
  swav::RowMatrix<double> by_x = swav::gradient_x(r);  // n x d; by_y alike
  auto through = swav::plan_gradients(r, grad_plan);   // dL/dP (n x m) in, dL/dC, dL/da, dL/db out
  swav::RowMatrix<double> also_by_x = swav::points_gradient(r.cost(), through.cost);
  // [gradients]
  CHECK(by_cost.rows() == 7);
  CHECK(by_a.size() == 7);
  CHECK(by_x.cols() == 3);
  Problem moved = p;
  check_close(also_by_x(2, 1), difference(moved.x(2, 1), [&] {
                return grad_plan.cwiseProduct(sinkhorn.solve(PointCost<double>(moved.x, moved.y), a, b).plan()).sum();
              }));
}
#endif

TEST_CASE("a result that has been moved from has no gradients") {
  Generator generator(90);
  const RowMatrix<double> x = normal_matrix(4, 2, generator), y = normal_matrix(5, 2, generator);
  Sinkhorn<double> sinkhorn{{.epsilon = 1}};
  auto result = sinkhorn.solve(swav::PointCost(x, y));
  const auto taken = std::move(result);
  const RowMatrix<double> weights = RowMatrix<double>::Ones(4, 5);
  CHECK(swav::gradient_a(taken).size() == 4);
  CHECK_THROWS_AS((void)swav::gradient_a(result), swav::InvalidInput);
  CHECK_THROWS_AS((void)swav::gradient_b(result), swav::InvalidInput);
  CHECK_THROWS_AS((void)swav::gradient_x(result), swav::InvalidInput);
  CHECK_THROWS_AS((void)swav::gradient_y(result), swav::InvalidInput);
  CHECK_THROWS_AS((void)plan_gradients_of(result, weights), swav::InvalidInput);
}
