// What CUDA says of kernels. In: a kernel, the threads and the shared memory of a block. Out: how many blocks a
// multiprocessor has at once, how much memory a block may have.
#pragma once

#include <cstddef>
#include <map>
#include <tuple>

#include "swav/backend/cuda/device.cuh"

namespace swav::detail {

/// Asked once for each question: kept by a device.
class KernelLimits {
 public:
  /// Blocks that a multiprocessor has at once.
  template <class... Parameters>
  int blocks(void (*kernel)(Parameters...), int threads, Index shared_bytes = 0) {
    const std::tuple question(reinterpret_cast<const void*>(kernel), threads, shared_bytes);
    if (const auto known = blocks_.find(question); known != blocks_.end()) return known->second;
    int count = 0;
    check_cuda(
        cudaOccupancyMaxActiveBlocksPerMultiprocessor(&count, kernel, threads, static_cast<std::size_t>(shared_bytes)),
        "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    return blocks_[question] = count;
  }

  /// The bytes that a block has of its own, beside what a launch asks for; from now on that may be all else that
  /// `device` gives a block, whatever calls on other threads ask for.
  template <class... Parameters>
  int own_shared(const CudaDevice& device, void (*kernel)(Parameters...)) {
    const auto* const question = reinterpret_cast<const void*>(kernel);
    if (const auto known = own_shared_.find(question); known != own_shared_.end()) return known->second;
    cudaFuncAttributes attributes{};
    check_cuda(cudaFuncGetAttributes(&attributes, kernel), "cudaFuncGetAttributes");
    const int own = static_cast<int>(attributes.sharedSizeBytes);
    check_cuda(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, device.shared_memory().block - own),
        "cudaFuncSetAttribute");
    return own_shared_[question] = own;
  }

 private:
  std::map<std::tuple<const void*, int, Index>, int> blocks_;
  std::map<const void*, int> own_shared_;
};

}  // namespace swav::detail
