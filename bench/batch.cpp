// Times SinkhornBatch in float on uniform random costs in [0, 1], epsilon 0.05, to a marginal error of 1e-3 or 500
// iterations. In: requests (line_protocol.hpp) for batch_NxMxB: B problems of N x M. Out: seconds, and the iterations
// of a problem on average.
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>

#include "line_protocol.hpp"
#include "swav/core/philox.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"

namespace {

using namespace swav;

bench::Case solve(Index n, Index m, Index problems) {
  return [=] {
    const auto costs = std::make_shared<RowMatrix<float>>(problems * n, m);
    PhiloxStream random(1, 11);
    for (Index i = 0; i < costs->size(); ++i) costs->data()[i] = static_cast<float>(random.uniform(0.0, 1.0));
    const auto sinkhorn = std::make_shared<SinkhornBatch<float>>(
        SinkhornOptions{.epsilon = 0.05, .max_iterations = 500, .tolerance = 1e-3});
    const auto result = std::make_shared<SinkhornBatch<float>::Result>();
    return [=] {
      sinkhorn->solve_into(*costs, n, {}, {}, {}, *result);
      if (!result->converged()) throw std::runtime_error("not converged");
      const auto iterations =
          std::accumulate(result->problems.begin(), result->problems.end(), 0.0,
                          [](double sum, const BatchSummary& problem) { return sum + problem.iterations; });
      return std::round(iterations / static_cast<double>(problems));
    };
  };
}

}  // namespace

int main() {
  return bench::serve({{"batch_64x64x10000", solve(64, 64, 10'000)}, {"batch_4x4x1000000", solve(4, 4, 1'000'000)}});
}
