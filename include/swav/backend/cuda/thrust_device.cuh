// Thrust's passes on a CudaDevice's stream. In: the stream. Out: a ThrustDevice on it, whose copies between the host
// and the GPU are on that stream, too.
#pragma once

#include <thrust/system/cuda/execution_policy.h>

#include <type_traits>
#include <utility>

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/thrust/device.hpp"

namespace swav::detail {

using CudaThrustPolicy =
    std::remove_cvref_t<decltype(thrust::cuda::par_nosync.on(std::declval<const cudaStream_t&>()))>;
using CudaThrustDevice = ThrustDevice<CudaThrustPolicy>;

template <>
struct FromStream<CudaThrustDevice> {
  static CudaThrustDevice make(cudaStream_t stream) { return CudaThrustDevice(thrust::cuda::par_nosync.on(stream)); }
};

/// Thrust's own copies go to the default stream, which waits for no stream that is made to be independent of it.
template <>
struct SystemCopies<CudaThrustPolicy> {
  template <class T>
  static void upload(const CudaThrustPolicy& policy, const T* host, Index count, T* to) {
    copy(policy, host, count, to, cudaMemcpyHostToDevice);
  }
  template <class T>
  static void download(const CudaThrustPolicy& policy, const T* from, Index count, T* host) {
    copy(policy, from, count, host, cudaMemcpyDeviceToHost);
  }

 private:
  template <class T>
  static void copy(const CudaThrustPolicy& policy, const T* from, Index count, T* to, cudaMemcpyKind kind) {
    const cudaStream_t stream = get_stream(policy);
    check_cuda(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count) * sizeof(T), kind, stream), "cudaMemcpyAsync");
    check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  }
};

}  // namespace swav::detail
