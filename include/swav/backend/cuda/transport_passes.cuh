// Transports on the GPU: Thrust's passes on the device's stream. In: row-major memory of the GPU. Out: the same.
#pragma once

#include <thrust/system/cuda/execution_policy.h>

#include <type_traits>
#include <utility>

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/thrust/transport_passes.hpp"

namespace swav {
namespace detail {

using CudaThrustPolicy =
    std::remove_cvref_t<decltype(thrust::cuda::par_nosync.on(std::declval<const cudaStream_t&>()))>;

template <>
struct FromStream<ThrustDevice<CudaThrustPolicy>> {
  static ThrustDevice<CudaThrustPolicy> make(cudaStream_t stream) {
    return ThrustDevice<CudaThrustPolicy>(thrust::cuda::par_nosync.on(stream));
  }
};

}  // namespace detail

/// A transport's loop asks the GPU for its error, and waits for it.
template <>
struct TransportPasses<CudaDevice> : TransportPasses<ThrustDevice<detail::CudaThrustPolicy>> {
  static CudaDevice device_for(const CudaDevice& device, Index) { return device; }
};

}  // namespace swav
