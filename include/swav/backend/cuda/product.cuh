// Products of row-major matrices by cuBLAS. In: matrices in the GPU's memory. Out: the product there.
#pragma once

#include <cublas_v2.h>

#include <limits>
#include <type_traits>

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/scalar.cuh"

namespace swav::detail {

template <class T>
inline constexpr cudaDataType_t cuda_data_type = std::is_same_v<T, double>  ? CUDA_R_64F
                                                 : std::is_same_v<T, float> ? CUDA_R_32F
                                                                            : CUDA_R_16F;

/// out = alpha op(a) op(b) + beta out, op the transpose where it says so, computed in `compute`.
template <class T, class Out>
void multiply(cublasHandle_t handle, cublasComputeType_t compute, Accumulator<T> alpha, MatrixView<const T> a,
              bool transpose_a, MatrixView<const T> b, bool transpose_b, Accumulator<T> beta, MatrixView<Out> out) {
  const Index inner = transpose_a ? a.rows : a.cols;
  const Index sizes[] = {out.rows, out.cols, inner, a.stride, b.stride, out.stride};
  for (const Index size : sizes)
    require(size <= std::numeric_limits<int>::max(), "CudaDevice: a matrix with ", size,
            " rows or columns found, at most 2^31 - 1 wanted for cuBLAS");
  // cuBLAS's matrices are column-major: it sees the transposes of ours, and out' = op(b)' op(a)'.
  check_cublas(
      cublasGemmEx(handle, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
                   static_cast<int>(out.cols), static_cast<int>(out.rows), static_cast<int>(inner), &alpha, b.data,
                   cuda_data_type<T>, static_cast<int>(b.stride), a.data, cuda_data_type<T>, static_cast<int>(a.stride),
                   &beta, out.data, cuda_data_type<Out>, static_cast<int>(out.stride), compute, CUBLAS_GEMM_DEFAULT),
      "cublasGemmEx");
}

/// The same with sums in the accumulator's type, on the device's stream.
template <class T, class Out>
void multiply(const CudaDevice& device, Accumulator<T> alpha, MatrixView<const T> a, bool transpose_a,
              MatrixView<const T> b, bool transpose_b, Accumulator<T> beta, MatrixView<Out> out) {
  const cublasComputeType_t compute = std::is_same_v<T, double> ? CUBLAS_COMPUTE_64F
                                      : std::is_same_v<T, float> && device.products() == CudaProducts::tf32
                                          ? CUBLAS_COMPUTE_32F_FAST_TF32
                                          : CUBLAS_COMPUTE_32F;
  multiply<T>(device.cublas(), compute, alpha, a, transpose_a, b, transpose_b, beta, out);
}

}  // namespace swav::detail
