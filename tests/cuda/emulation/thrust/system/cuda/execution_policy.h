// Thrust's CUDA system on the CPU: its sequential one, whatever the stream. In: a stream. Out: a policy.
#pragma once

#include <thrust/system/cpp/execution_policy.h>

#include "cuda_runtime.h"

namespace thrust::cuda {

struct EmulatedPolicy {
  [[nodiscard]] auto on(cudaStream_t) const { return thrust::cpp::par; }
};
inline constexpr EmulatedPolicy par_nosync{};

}  // namespace thrust::cuda
