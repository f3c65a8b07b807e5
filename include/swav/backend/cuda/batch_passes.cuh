// Batches of small transports on the GPU: Thrust's passes on the device's stream, a problem a thread. In: costs and
// masses in the GPU's memory. Out: potentials and summaries of the host.
#pragma once

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/thrust_device.cuh"
#include "swav/backend/thrust/batch_passes.hpp"
#include "swav/sinkhorn/batch_passes.hpp"

namespace swav {

template <>
struct BatchPasses<CudaDevice> : BatchPasses<detail::CudaThrustDevice> {};

}  // namespace swav
