// Transports on the GPU: Thrust's passes on the device's stream. In: row-major memory of the GPU. Out: the same.
#pragma once

#include <type_traits>
#include <utility>

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/thrust_device.cuh"
#include "swav/backend/thrust/transport_passes.hpp"
#include "swav/core/host_device.hpp"

namespace swav {

/// A transport's loop asks the GPU for its error, and waits for it.
template <>
struct TransportPasses<CudaDevice> : TransportPasses<detail::CudaThrustDevice> {
  static CudaDevice device_for(const CudaDevice& device, Index) { return device; }

  template <class Scalar, class L>
  static CudaMatrix<Scalar> converted(const CudaDevice& device, CudaMatrix<L>&& from) {
    if constexpr (std::is_same_v<Scalar, L>) {
      return std::move(from);
    } else {
      const detail::CudaThrustDevice& thrust_device = device;
      CudaMatrix<Scalar> to(from.rows(), from.cols());
      const L* const in = from.data();
      Scalar* const out = to.data();
      detail::for_each_index(thrust_device.policy(), from.size(), [=] SWAV_HOST_DEVICE(Index i) {
        out[i] = static_cast<Scalar>(static_cast<Accumulator<Scalar>>(in[i]));
      });
      return to;
    }
  }
};

}  // namespace swav
