// The GPU that the trainer computes on. In: nothing. Out: one stream with cuBLAS and cuDNN on it, which networks,
// losses and optimisers of a process share.
#pragma once

#include <cudnn.h>

#include "swav/backend/cuda/device.cuh"

namespace swav::resnet::cuda {

/// The device of this process: that which cudaSetDevice has chosen, with a stream of its own. Lives until the process
/// ends. Throws CudaError where there is no GPU.
[[nodiscard]] const CudaDevice& trainer_device();
/// cuDNN on that stream; threads have one each, since cuDNN does not let them share.
[[nodiscard]] cudnnHandle_t trainer_cudnn();

/// How programs that are made from now on choose cuDNN's algorithms: by its heuristics, which choose the same each
/// time, or by timing them, which takes seconds and may choose others, of other rounding, the next time.
enum class AlgorithmChoice { heuristics, timing };
[[nodiscard]] AlgorithmChoice algorithm_choice();
void set_algorithm_choice(AlgorithmChoice choice);

inline void check_cudnn(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw CudaError(swav::detail::concatenate(call, ": ", cudnnGetErrorString(status)));
}

}  // namespace swav::resnet::cuda
