// What the network's tests compute on: the CPU, or with SWAV_TEST_CUDA the GPU, which on a machine without one is
// emulated. In: rows of the host. Out: rows where the network's are, and back.
#pragma once

#include <vector>

#include "model/network.hpp"

#ifdef SWAV_TEST_CUDA
#include "rank_threads.hpp"
#include "swav/backend/cuda/device.cuh"
#endif

namespace swav::resnet::test {

#ifdef SWAV_TEST_CUDA
inline constexpr Processor processor = Processor::cuda;
using ProcessorRows = CudaMatrix<float>;

inline const auto set_copy_memory = swav::test::copy_memory = [](void* to, const void* from, std::size_t bytes) {
  swav::detail::check_cuda(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "cudaMemcpy");
};

inline std::vector<float> to_host(MatrixView<const float> rows) {
  std::vector<float> host(static_cast<std::size_t>(rows.size()));
  swav::detail::copy_rows(rows, MatrixView<float>(host.data(), rows.rows, rows.cols), cudaMemcpyDeviceToHost);
  return host;
}
#else
inline constexpr Processor processor = Processor::cpu;

class ProcessorRows {
 public:
  explicit ProcessorRows(MatrixView<const float> host)
      : values_(host.data, host.data + host.size()), rows_(host.rows), cols_(host.cols) {}
  operator MatrixView<const float>() const { return {values_.data(), rows_, cols_}; }

 private:
  std::vector<float> values_;
  Index rows_, cols_;
};

inline std::vector<float> to_host(MatrixView<const float> rows) { return {rows.data, rows.data + rows.size()}; }
#endif

}  // namespace swav::resnet::test
