// The CUDA example of docs/backends.md. In: SWAV_CUDA_EMULATED, for which it is compiled. Out: checks of what it says.
#ifdef SWAV_CUDA_EMULATED
#include "swav/backend/cuda.cuh"

#include <doctest/doctest.h>

#include <Eigen/Core>
#include <cmath>

TEST_CASE("a loss on a GPU's stream") {
  const swav::Index views = 3, samples = 8, prototypes = 20, dimension = 6;
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> host(views * samples, dimension);
  host.setRandom();
  const swav::CudaMatrix<float> embeddings{swav::MatrixView<const float>(host)};
  cudaStream_t stream = nullptr;
  // [cuda]
  swav::CudaDevice device(stream);
  swav::PrototypeBank<float, swav::CudaDevice> bank(prototypes, dimension, /*seed=*/1, device);
  swav::SwappedPredictionLoss<float, swav::CudaDevice> loss({}, device);
  swav::SwappedPredictionStep<float, swav::CudaDevice> step;
  loss.step_into(embeddings, bank, views, step);  // enqueued; step.grad_embeddings is for what comes next on the stream
  double value = step.value;                      // waits for the stream, and throws if the embeddings were not finite
  // [cuda]
  CHECK(value > 0);
  CHECK(std::abs(step.codes_entropy - std::log(20.0)) < 3);
}
#endif
