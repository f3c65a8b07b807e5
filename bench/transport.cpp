// Times Sinkhorn::solve to a marginal error of 1e-6, potentials and costs included. In: requests (line_protocol.hpp)
// for automatic_NxE and log_NxE: N points a side, epsilon 1e-E of the cost's range. Out: seconds; with the argument
// "list", iterations, error and cost of each instead.
#include <cmath>
#include <cstdio>
#include <memory>
#include <string_view>

#include "line_protocol.hpp"
#include "random_data.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"

namespace {

using namespace swav;

// Squared distances of two clouds in the plane, at most 1.
RowMatrix<double> cost(Index n) {
  PhiloxStream random(1, 7);
  const auto cloud = [&](double shift) {
    RowMatrix<double> points(n, 2);
    for (Index i = 0; i < points.size(); ++i) {
      const double radius = std::sqrt(-2 * std::log(1 - random.uniform(0.0, 1.0)));
      points.data()[i] = shift + radius * std::cos(random.uniform(0.0, 6.283185307179586));
    }
    return points;
  };
  const RowMatrix<double> x = cloud(0), y = cloud(1);
  RowMatrix<double> c(n, n);
  for (Index i = 0; i < n; ++i)
    c.row(i) = (y.col(0).array() - x(i, 0)).square().transpose() + (y.col(1).array() - x(i, 1)).square().transpose();
  return c / c.maxCoeff();
}

SinkhornOptions options_for(int exponent, Stabilization domain) {
  return {.epsilon = std::pow(10.0, -exponent), .max_iterations = 20'000, .tolerance = 1e-6, .stabilization = domain};
}

bench::Case solve(Index n, int exponent, Stabilization domain) {
  return [=] {
    const auto c = std::make_shared<const RowMatrix<double>>(cost(n));
    const auto sinkhorn = std::make_shared<Sinkhorn<double>>(options_for(exponent, domain));
    const auto result = std::make_shared<Sinkhorn<double>::Result>();
    return [=] { sinkhorn->solve_into(*c, {}, {}, *result); };
  };
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, bench::Case> cases;
  for (const Index n : {1000, 4000, 10'000})
    for (const int exponent : {1, 2, 3}) {
      const std::string shape = std::to_string(n) + "x" + std::to_string(exponent);
      cases["automatic_" + shape] = solve(n, exponent, Stabilization::automatic);
      cases["log_" + shape] = solve(n, exponent, Stabilization::log);
    }
  if (argc == 1 || std::string_view(argv[1]) != "list") return bench::serve(cases);
  for (const Index n : {1000, 4000})
    for (const int exponent : {1, 2, 3}) {
      const auto r = Sinkhorn<double>(options_for(exponent, Stabilization::automatic)).solve(cost(n));
      std::printf("%td points, epsilon 1e-%d: %d iterations, error %.1e, transport cost %.9f\n", n, exponent,
                  r.iterations, r.marginal_error, r.transport_cost);
    }
}
