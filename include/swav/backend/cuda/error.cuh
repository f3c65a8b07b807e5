// CUDA's and its libraries' statuses as exceptions. In: a status and the name of the call. Out: nothing, or CudaError.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <stdexcept>
#include <string>

#include "swav/core/error.hpp"

namespace swav {

/// Thrown where a call of CUDA, cuBLAS, cuDNN or NCCL fails; the message names the call.
class CudaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

/// Throws CudaError unless `status` is a success; `parts` say which call it is of, and with what.
template <class... Parts>
void check_cuda(cudaError_t status, const Parts&... parts) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // so that it is not met again by a later call
  throw CudaError(concatenate(parts..., ": ", cudaGetErrorString(status)));
}

inline void check_cublas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) throw CudaError(concatenate(call, ": ", cublasGetStatusString(status)));
}

/// cudaMalloc of `count` elements; the message says how much was asked for.
template <class T>
[[nodiscard]] T* allocate_cuda(std::size_t count) {
  T* pointer = nullptr;
  check_cuda(cudaMalloc(&pointer, count * sizeof(T)), "cudaMalloc of ", (count * sizeof(T) + 1048575) / 1048576,
             " MiB on the GPU");
  return pointer;
}

}  // namespace detail
}  // namespace swav
