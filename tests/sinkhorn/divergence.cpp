// The Sinkhorn divergence against OTT's and POT's values, and what makes it a divergence; the entropic map. In:
// tests/golden/divergence.bin, synthetic points. Out: checks.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "golden.hpp"
#include "problems.hpp"
#include "scalars.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"

namespace {

using namespace swav;
using namespace swav::test;

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("divergences equal OTT's and, unbalanced, POT's") {
  const GoldenArrays golden = load_golden("divergence.bin");
  int cases = 0;
  for (; golden.contains("x." + std::to_string(cases)); ++cases) {
    CAPTURE(cases);
    const auto array = [&](const char* name) -> const RowMatrix<double>& {
      return golden.at(name + ("." + std::to_string(cases)));
    };
    const double rho = array("options")(0, 1);
    const PointCost cost(array("x"), array("y"));
    const SinkhornOptions options{
        .epsilon = array("options")(0, 0), .max_iterations = 100'000, .tolerance = 1e-11, .rho_a = rho, .rho_b = rho};
    const auto result = sinkhorn_divergence(cost, array("a").row(0), array("b").row(0), options);
    CHECK(result.converged);
    CHECK(std::abs(result.value - array("value")(0, 0)) <= 1e-9);
    CHECK(result.value > 0);
    const auto turned =
        sinkhorn_divergence(PointCost(array("y"), array("x")), array("b").row(0), array("a").row(0), options);
    CHECK(std::abs(turned.value - result.value) <= 1e-11);
    CHECK(std::abs(sinkhorn_divergence(PointCost(array("x"), array("x")), array("a").row(0), array("a").row(0), options)
                       .value) <= 1e-13);
  }
  CHECK(cases >= 18);
}

TEST_CASE("a divergence of clouds that move apart grows as the squared distance, and its parts are at hand") {
  Generator generator(80);
  const RowMatrix<double> x = normal_matrix(40, 3, generator);
  for (const double shift : {0.1, 1.0, 3.0}) {
    RowMatrix<double> moved = x;
    moved.col(1).array() += shift;
    const auto result = sinkhorn_divergence(PointCost(x, moved), {}, {}, {.epsilon = 0.5, .tolerance = 1e-12});
    // Of a translation exactly so: the cost changes by terms of x_i and y_j alone.
    CHECK(result.value == doctest::Approx(shift * shift).epsilon(1e-9));
    CHECK(result.xy.f.size() == 40);
    CHECK(result.xx.cost().y.data == x.data());
    CHECK(result.yy.cost().x.data == moved.data());
  }
  const RowMatrix<float> single = x.cast<float>(), other = -single;
  CHECK(sinkhorn_divergence(PointCost(single, other, Euclidean()), {}, {}, {.epsilon = 0.5}).value > 0);
}

TEST_CASE("a divergence says what it cannot do") {
  Generator generator(81);
  const RowMatrix<double> x = normal_matrix(8, 2, generator), y = normal_matrix(9, 2, generator);
  CHECK_THROWS_WITH_AS(sinkhorn_divergence(PointCost(x, y), {}, {}, {.rho_a = 1}), doctest::Contains("rho_b"),
                       InvalidInput);
  CHECK_FALSE(sinkhorn_divergence(PointCost(x, y), {}, {}, {.epsilon = 0.05, .max_iterations = 1}).converged);
  constexpr auto near = [](VectorView<const double> from, VectorView<const double> to) {
    const double square = SquaredEuclidean()(from, to);
    return square < 1 ? square : infinity;
  };
  const RowMatrix<double> far = y.array() + 100;
  const auto apart = sinkhorn_divergence(PointCost(x, far, near), {}, {}, {.epsilon = 0.5});
  CHECK(apart.value == infinity);
  CHECK_FALSE(apart.converged);
}

TEST_CASE("the documentation's calls on points are right") {
  Generator generator(84);
  const RowMatrix<double> x = normal_matrix(30, 2, generator), y = normal_matrix(20, 2, generator),
                          z = normal_matrix(7, 2, generator);
  const std::vector<double> a(30, 1.0 / 30), b(20, 0.05);
  const SinkhornOptions options{.epsilon = 0.5};
  // [points]
  swav::PointCost cost(x, y, swav::Euclidean());  // n x d, m x d; squared distances unless another metric is given
  auto r = swav::Sinkhorn<double>(options).solve(cost, a, b);
  swav::RowMatrix<double> moved = r.map(z);  // k x d: where the transport takes any other points
  auto s = swav::sinkhorn_divergence(cost, a, b, options);
  double value = s.value;  // 0 where both clouds are equal; s.xy, s.xx, s.yy are the three transports
  // [points]
  CHECK(moved.rows() == 7);
  CHECK(value == doctest::Approx(r.dual_cost - (s.xx.dual_cost + s.yy.dual_cost) / 2));
}

TEST_CASE_TEMPLATE("the entropic map is the plan's barycentres at its own points", Scalar, SWAV_WIDE_SCALARS) {
  Generator generator(82);
  const RowMatrix<Scalar> x = converted<Scalar>(normal_matrix(60, 3, generator)),
                          y = converted<Scalar>(normal_matrix(45, 3, generator));
  const double tolerance = sizeof(Scalar) < sizeof(double) ? 1e-5 : 1e-12;
  std::vector<Scalar> b(45, Scalar(1) / 44);
  b[7] = 0;
  const auto check = [&](const auto& cost, double epsilon) {
    const auto r = Sinkhorn<Scalar>{{.epsilon = epsilon, .tolerance = 1e-9}}.solve(cost, {}, b);
    REQUIRE(r.converged);
    const RowMatrix<Scalar> mapped = r.map(x);
    RowMatrix<Scalar> wanted = r.apply(y);
    const std::vector<double> sums = r.marginal(1);
    for (Index i = 0; i < x.rows(); ++i) wanted.row(i) /= static_cast<Scalar>(sums[static_cast<std::size_t>(i)]);
    CHECK(largest_difference(mapped, wanted) <= tolerance);
    // Points of any number, and as far away as costs may be.
    const RowMatrix<Scalar> away = RowMatrix<Scalar>::Constant(2, 3, Scalar(1e4));
    const RowMatrix<Scalar> hull = r.map(away);
    CHECK(hull.allFinite());
    CHECK(hull.maxCoeff() <= y.maxCoeff());
    CHECK(r.map(RowMatrix<Scalar>(0, 3)).rows() == 0);
  };
  check(PointCost(x, y), 0.1);
  check(PointCost(x, y), 1.0);
  check(PointCost(x, y, Euclidean()), 0.1);
  check(PointCost(x, y, Cosine()), 0.1);
}

TEST_CASE("a small epsilon maps a translated grid by the translation, and bad points are refused") {
  RowMatrix<double> x(49, 2);
  for (Index i = 0; i < 49; ++i) x.row(i) << double(i / 7), double(i % 7);
  const RowMatrix<double> y = x.rowwise() + Eigen::RowVector2d(0.3, -0.2);
  const auto r = Sinkhorn<double>{{.epsilon = 0.02}}.solve(PointCost(x, y));
  CHECK(r.converged);
  CHECK(largest_difference(r.map(x), y) <= 1e-6);
  for (const double bad : {std::nan(""), infinity, 1e200}) {
    RowMatrix<double> broken = x;
    broken(4, 0) = bad;
    CHECK_THROWS_WITH_AS(r.map(broken), doctest::Contains("row 4"), InvalidInput);
  }
  CHECK_THROWS_AS(r.map(RowMatrix<double>::Zero(3, 5).eval()), InvalidInput);
}

TEST_CASE("a divergence keeps its digits at any total, and grows with the distance where mass may be destroyed") {
  Generator generator(91);
  const RowMatrix<double> x = normal_matrix(6, 2, generator), y = normal_matrix(7, 2, generator);
  const swav::SinkhornOptions options{.epsilon = 0.3};
  const double one = swav::sinkhorn_divergence(swav::PointCost(x, y), {}, {}, options).value;
  for (const double total : {1e-200, 1e-9, 1e12, 1e150, 1e290}) {
    const std::vector<double> a(6, total / 6), b(7, total / 7);
    const auto s = swav::sinkhorn_divergence(swav::PointCost(x, y), a, b, options);
    CHECK(s.converged);
    CHECK(s.value / total == doctest::Approx(one).epsilon(1e-7));
  }
  double nearer = 0;
  for (const double distance : {1.0, 2.0, 4.0, 8.0}) {
    const RowMatrix<double> far = x.array() + distance;
    const auto s = swav::sinkhorn_divergence(swav::PointCost(x, far), {}, {},
                                             swav::SinkhornOptions{.epsilon = 0.3, .rho_a = 0.3, .rho_b = 0.3});
    CHECK(s.converged);
    CHECK(s.value >= nearer - 1e-9);
    nearer = s.value;
  }
}
