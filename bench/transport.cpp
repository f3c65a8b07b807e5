// Times Sinkhorn::solve to a marginal error of 1e-6, potentials and costs included. In: requests (line_protocol.hpp)
// for automatic_NxE and log_NxE: N points a side, epsilon 1e-E of the cost's range. Out: seconds and iterations; with
// the arguments "trace" and a case, lines "seconds error" of every iteration instead.
#include <chrono>
#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "line_protocol.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"

namespace {

using namespace swav;

// Squared distances of two clouds of standard normal points, one shifted by (1, 1); at most 1. The numbers are those of
// numpy.random.RandomState(1).random_sample, from which peers/transport.py makes the same points.
RowMatrix<double> cost(Index n) {
  std::mt19937 random(1);
  const auto uniform = [&random] {
    const auto high = static_cast<double>(random() >> 5), low = static_cast<double>(random() >> 6);
    return (high * 67108864 + low) / 9007199254740992;
  };
  const auto cloud = [&](double shift) {
    RowMatrix<double> points(n, 2);
    for (Index i = 0; i < n; ++i) {
      const double radius = std::sqrt(-2 * std::log(1 - uniform())), angle = 6.283185307179586 * uniform();
      points(i, 0) = shift + radius * std::cos(angle);
      points(i, 1) = shift + radius * std::sin(angle);
    }
    return points;
  };
  const RowMatrix<double> x = cloud(0), y = cloud(1);
  RowMatrix<double> c(n, n);
  for (Index i = 0; i < n; ++i)
    c.row(i) = (y.col(0).array() - x(i, 0)).square().transpose() + (y.col(1).array() - x(i, 1)).square().transpose();
  return c / c.maxCoeff();
}

struct Problem {
  Index points;
  SinkhornOptions options;
};

bench::Case solve(const Problem& problem) {
  return [=] {
    const auto c = std::make_shared<const RowMatrix<double>>(cost(problem.points));
    const auto sinkhorn = std::make_shared<Sinkhorn<double>>(problem.options);
    const auto result = std::make_shared<Sinkhorn<double>::Result>();
    return [=] {
      sinkhorn->solve_into(*c, {}, {}, *result);
      if (!result->converged) throw std::runtime_error("not converged");
      return result->iterations;
    };
  };
}

// The second of two runs.
int trace(Problem problem) {
  const RowMatrix<double> c = cost(problem.points);
  std::chrono::steady_clock::time_point start;
  std::vector<std::pair<double, double>> points;
  problem.options.progress = [&](const SinkhornProgress& progress) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    points.emplace_back(passed.count(), progress.marginal_error);
    return true;
  };
  Sinkhorn<double> sinkhorn(problem.options);
  Sinkhorn<double>::Result result;
  for (int run = 0; run < 2; ++run) {
    points.clear();
    start = std::chrono::steady_clock::now();
    sinkhorn.solve_into(c, {}, {}, result);
  }
  for (const auto& [seconds, error] : points) std::cout << seconds << " " << error << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, Problem> problems;
  for (const Index n : {1000, 4000, 10'000})
    for (const int exponent : {1, 2, 3})
      for (const auto& [name, domain] :
           {std::pair{"automatic_", Stabilization::automatic}, {"log_", Stabilization::log}})
        problems[name + std::to_string(n) + "x" + std::to_string(exponent)] = {n,
                                                                               {.epsilon = std::pow(10.0, -exponent),
                                                                                .max_iterations = 20'000,
                                                                                .tolerance = 1e-6,
                                                                                .stabilization = domain}};
  if (argc == 3 && std::string(argv[1]) == "trace") return trace(problems.at(argv[2]));
  std::map<std::string, bench::Case> cases;
  for (const auto& [name, problem] : problems) cases[name] = solve(problem);
  return bench::serve(cases);
}
