// Thrust's CUDA system on the CPU: its sequential one, with a stream. In: a stream. Out: a policy.
#pragma once

#include <thrust/system/cpp/execution_policy.h>

#include "cuda_runtime.h"

namespace thrust::cuda {

struct OnStream : thrust::cpp::execution_policy<OnStream> {
  cudaStream_t stream = nullptr;
  friend cudaStream_t get_stream(const OnStream& policy) { return policy.stream; }
};

struct NoSync {
  [[nodiscard]] OnStream on(cudaStream_t stream) const {
    OnStream policy;
    policy.stream = stream;
    return policy;
  }
};
inline constexpr NoSync par_nosync{};

}  // namespace thrust::cuda
