// Times Sinkhorn::solve on points, whose costs are never stored, to a marginal error of 1e-6. In: requests
// (line_protocol.hpp) for points_N (N 1000, 5000, 20000) and, where the matrix has 200 MB at most, matrix_N: N points a
// side in 3 dimensions, epsilon 1e-2 of the largest squared distance; or the arguments "memory N". Out: seconds and
// iterations; or the peak memory in MB above the points.
#include <cmath>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "line_protocol.hpp"
#include "random_data.hpp"
#include "resident.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"

namespace {

using namespace swav;
using Solver = Sinkhorn<double>;

struct Clouds {
  RowMatrix<double> x, y;
  explicit Clouds(Index n)
      : x(bench::random_matrix(n, 3, 1).cast<double>()), y(bench::random_matrix(n, 3, 2).cast<double>()) {
    y.array() += 1;
  }
  // Of a few hundred points each the largest squared distance, which more do not change by much.
  [[nodiscard]] SinkhornOptions options() const {
    double largest = 0;
    for (Index i = 0; i < x.rows(); i += std::max<Index>(1, x.rows() / 500))
      largest = std::max(largest, (y.rowwise() - x.row(i)).rowwise().squaredNorm().maxCoeff());
    return {.epsilon = 1e-2 * largest, .max_iterations = 20'000, .tolerance = 1e-6};
  }
};

template <class Result>
int iterations(const Result& result) {
  if (!result.converged) throw std::runtime_error("not converged");
  return result.iterations;
}

bench::Case on_points(Index n) {
  return [=] {
    const auto clouds = std::make_shared<const Clouds>(n);
    const auto sinkhorn = std::make_shared<Solver>(clouds->options());
    const auto result = std::make_shared<Solver::PointResult<SquaredEuclidean>>();
    return [=] {
      sinkhorn->solve_into(PointCost(clouds->x, clouds->y), {}, {}, *result);
      return iterations(*result);
    };
  };
}

bench::Case on_matrix(Index n) {
  return [=] {
    const auto clouds = std::make_shared<const Clouds>(n);
    const auto sinkhorn = std::make_shared<Solver>(clouds->options());
    return [=] { return iterations(sinkhorn->solve(cost_matrix(PointCost(clouds->x, clouds->y)))); };
  };
}

int report_memory(Index n) {
  const Clouds clouds(n);
  SinkhornOptions options = clouds.options();
  options.max_iterations = 20;
  const double before = bench::resident("VmRSS:");
  const auto result = Solver(options).solve(PointCost(clouds.x, clouds.y));
  std::cout << "memory " << bench::resident("VmHWM:") - before << std::endl;
  return result.iterations > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2 && std::strcmp(argv[1], "memory") == 0) return report_memory(std::stol(argv[2]));
  std::map<std::string, bench::Case> cases;
  for (const Index n : {1000, 5000, 20'000}) {
    cases["points_" + std::to_string(n)] = on_points(n);
    if (n <= 5000) cases["matrix_" + std::to_string(n)] = on_matrix(n);
  }
  return bench::serve(cases);
}
