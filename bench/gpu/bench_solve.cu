// Times Sinkhorn::solve on CudaDevice. In, on the command line: "matrix|points SCALAR FILE POINTS DIMENSION EPSILON
// ITERATIONS TOLERANCE", SCALAR being float or double and FILE holding 2 POINTS x DIMENSION doubles, one cloud after
// the other. The cost is their squared distance, as a matrix on the GPU or found anew from the points in each
// iteration. Out: a line of JSON: milliseconds a solve, potentials and costs on the host included, median and least;
// iterations; the marginal error.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "swav/backend/cuda.cuh"

namespace {

using swav::CudaDevice;
using swav::CudaMatrix;
using swav::Index;
using swav::MatrixView;

struct Problem {
  Index points, dimension;
  std::vector<double> x, y;
  swav::SinkhornOptions options;
};

template <class T>
CudaMatrix<T> uploaded(const std::vector<double>& values, Index rows, Index cols) {
  const std::vector<T> host(values.begin(), values.end());
  return CudaMatrix<T>(MatrixView<const T>(host.data(), rows, cols));
}

std::vector<double> distances(const Problem& problem) {
  std::vector<double> cost(static_cast<std::size_t>(problem.points * problem.points));
  for (Index i = 0; i < problem.points; ++i)
    for (Index j = 0; j < problem.points; ++j) {
      double sum = 0;
      for (Index k = 0; k < problem.dimension; ++k) {
        const double difference = problem.x[static_cast<std::size_t>(i * problem.dimension + k)] -
                                  problem.y[static_cast<std::size_t>(j * problem.dimension + k)];
        sum += difference * difference;
      }
      cost[static_cast<std::size_t>(i * problem.points + j)] = sum;
    }
  return cost;
}

template <class Solver, class Result, class Cost>
void time_solves(Solver& solver, Result& result, const Cost& cost) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  const auto start = Clock::now();
  for (int repetition = -2; repetition < 20; ++repetition) {  // the first allocates
    const auto begin = Clock::now();
    solver.solve_into(cost, {}, {}, result);
    const std::chrono::duration<double, std::milli> taken = Clock::now() - begin;
    if (repetition >= 0) times.push_back(taken.count());
    if (times.size() >= 3 && Clock::now() - start > std::chrono::seconds(5)) break;
  }
  std::sort(times.begin(), times.end());
  std::printf("{\"median_ms\": %.4f, \"least_ms\": %.4f, \"iterations\": %d, \"converged\": %s",
              times[times.size() / 2], times.front(), result.iterations, result.converged ? "true" : "false");
  if (std::isfinite(result.marginal_error)) std::printf(", \"error\": %.2e", result.marginal_error);
  std::printf("}\n");
}

template <class T>
void run(const std::string& kind, const Problem& problem) {
  const CudaDevice device;
  swav::Sinkhorn<T, CudaDevice> solver(problem.options, device);
  if (kind == "matrix") {
    const CudaMatrix<T> cost = uploaded<T>(distances(problem), problem.points, problem.points);
    typename swav::Sinkhorn<T, CudaDevice>::Result result;
    time_solves(solver, result, MatrixView<const T>(cost));
  } else {
    const CudaMatrix<T> x = uploaded<T>(problem.x, problem.points, problem.dimension),
                        y = uploaded<T>(problem.y, problem.points, problem.dimension);
    typename swav::Sinkhorn<T, CudaDevice>::template PointResult<swav::SquaredEuclidean> result;
    time_solves(solver, result, swav::PointCost<T>(x, y));
  }
}

}  // namespace

int main(int count, char** arguments) {
  try {
    const std::vector<std::string> words(arguments + 1, arguments + count);
    Problem problem{std::stoll(words.at(3)), std::stoll(words.at(4)), {}, {}, {}};
    problem.options = {.epsilon = std::stod(words.at(5)),
                       .max_iterations = std::stoi(words.at(6)),
                       .tolerance = std::stod(words.at(7))};
    std::ifstream file(words.at(2), std::ios::binary);
    for (std::vector<double>* cloud : {&problem.x, &problem.y}) {
      cloud->resize(static_cast<std::size_t>(problem.points * problem.dimension));
      file.read(reinterpret_cast<char*>(cloud->data()), static_cast<std::streamsize>(cloud->size() * sizeof(double)));
    }
    if (!file) throw std::runtime_error(words.at(2) + " does not hold the points");
    words.at(1) == "double" ? run<double>(words.at(0), problem) : run<float>(words.at(0), problem);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_solve: %s\n", error.what());
    return 1;
  }
}
