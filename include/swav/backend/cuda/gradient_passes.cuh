// Gradients of transports on the GPU: Thrust's passes on the device's stream. In: costs and weights in the GPU's
// memory, vectors of the host. Out: the same.
#pragma once

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/thrust_device.cuh"
#include "swav/backend/cuda/transport_passes.cuh"
#include "swav/backend/thrust/gradient_passes.hpp"

namespace swav {

template <>
struct GradientPasses<CudaDevice> : GradientPasses<detail::CudaThrustDevice> {
  template <class L, class Cost>
  static CudaMatrix<L> plan(const CudaDevice& device, const Cost& cost, const L* f, const L* g, double epsilon) {
    CudaMatrix<L> plan(cost.rows, cost.cols);
    TransportPasses<CudaDevice>::plan(device, cost, f, g, epsilon, MatrixView<L>(plan));
    return plan;
  }
};

}  // namespace swav
