// The linear probe and the statistics on the GPU: Thrust's passes on the device's stream. In: features in the GPU's
// memory. Out: see evaluate/passes.hpp.
#pragma once

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/thrust_device.cuh"
#include "swav/backend/thrust/probe_passes.hpp"
#include "swav/backend/thrust/statistics_passes.hpp"
#include "swav/evaluate/passes.hpp"

namespace swav {

template <>
struct ProbePasses<CudaDevice> : ProbePasses<detail::CudaThrustDevice> {};

template <>
struct StatisticsPasses<CudaDevice> : StatisticsPasses<detail::CudaThrustDevice> {};

}  // namespace swav
