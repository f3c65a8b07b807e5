// What CUDA says of kernels. In: a kernel, the threads and the shared memory of a block. Out: how many blocks a
// multiprocessor has at once, how many clusters a GPU, how much memory a block may have.
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

  /// Clusters of so many blocks that `device` has at once: 0 where it has no clusters or none fits, and where `kernel`
  /// was compiled for GPUs that have none, and so without what it does with them.
  template <class... Parameters>
  int clusters(const CudaDevice& device, void (*kernel)(Parameters...), int cluster_blocks, int threads) {
    if (!device.launches_clusters()) return 0;
    const std::tuple question(reinterpret_cast<const void*>(kernel), threads, cluster_blocks);
    if (const auto known = clusters_.find(question); known != clusters_.end()) return known->second;
    cudaFuncAttributes attributes{};
    check_cuda(cudaFuncGetAttributes(&attributes, kernel), "cudaFuncGetAttributes");
    int count = 0;
    if (attributes.ptxVersion >= 90) {
      const LaunchConfig one(device, {.cluster_blocks = cluster_blocks}, cluster_blocks, threads);
      if (cudaOccupancyMaxActiveClusters(&count, kernel, one.get()) != cudaSuccess) {
        static_cast<void>(cudaGetLastError());  // of a size that the GPU does not have
        count = 0;
      }
    }
    return clusters_[question] = count;
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
  std::map<std::tuple<const void*, int, int>, int> clusters_;
  std::map<const void*, int> own_shared_;
};

}  // namespace swav::detail
