// cuBLAS on the CPU: handles and cublasGemmEx by plain loops, in the order that the backend calls them. In, out: what
// cuBLAS's own take and give, column-major; sums are in float, or double for doubles.
#pragma once

#include <vector>

#include "cuda_fp16.h"
#include "cuda_runtime.h"

enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_NOT_INITIALIZED = 1, CUBLAS_STATUS_NOT_SUPPORTED = 15 };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_32F_FAST_TF32 = 77, CUBLAS_COMPUTE_64F = 70 };
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT = -1 };
enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_64F = 1, CUDA_R_16F = 2 };

namespace swav::emulation {
struct Products {
  cudaStream_t stream = nullptr;
};
inline double read(const void* data, cudaDataType_t type, long at) {
  if (type == CUDA_R_64F) return static_cast<const double*>(data)[at];
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[at];
  return static_cast<double>(static_cast<float>(static_cast<const __half*>(data)[at]));
}
inline void write(void* data, cudaDataType_t type, long at, double value) {
  if (type == CUDA_R_64F)
    static_cast<double*>(data)[at] = value;
  else if (type == CUDA_R_32F)
    static_cast<float*>(data)[at] = static_cast<float>(value);
  else
    static_cast<__half*>(data)[at] = __half(static_cast<float>(value));
}
}  // namespace swav::emulation

using cublasHandle_t = swav::emulation::Products*;

inline const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "success" : "the cuBLAS call failed";
}
inline cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  if (swav::emulation::captures > 0) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new swav::emulation::Products;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasSetWorkspace(cublasHandle_t, void*, std::size_t) { return CUBLAS_STATUS_SUCCESS; }

inline cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t of_a, cublasOperation_t of_b, int m, int n,
                                   int k, const void* alpha, const void* a, cudaDataType_t a_type, int lda,
                                   const void* b, cudaDataType_t b_type, int ldb, const void* beta, void* c,
                                   cudaDataType_t c_type, int ldc, cublasComputeType_t compute, cublasGemmAlgo_t) {
  using namespace swav::emulation;
  const bool wide = compute == CUBLAS_COMPUTE_64F;
  if (a_type != b_type || wide != (a_type == CUDA_R_64F)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const double by = wide ? *static_cast<const double*>(alpha) : *static_cast<const float*>(alpha);
  const double keep = wide ? *static_cast<const double*>(beta) : *static_cast<const float*>(beta);
  submit(handle->stream, [=] {
    const auto product = [&]<class T>(T) {
      const auto rows_of = [&](const void* data, cudaDataType_t type, long count, bool across, long stride) {
        std::vector<T> rows(static_cast<std::size_t>(count * k));
        for (long r = 0; r < count; ++r)
          for (long l = 0; l < k; ++l)
            rows[static_cast<std::size_t>(r * k + l)] =
                static_cast<T>(read(data, type, across ? r + l * stride : l + r * stride));
        return rows;
      };
      const std::vector<T> rows = rows_of(a, a_type, m, of_a == CUBLAS_OP_N, lda);
      const std::vector<T> columns = rows_of(b, b_type, n, of_b == CUBLAS_OP_T, ldb);
      for (long j = 0; j < n; ++j)
        for (long i = 0; i < m; ++i) {
          const T *x = rows.data() + i * k, *y = columns.data() + j * k;
          T sum = 0;
          for (long l = 0; l < k; ++l) sum += x[l] * y[l];
          const double before = keep == 0 ? 0 : keep * read(c, c_type, i + j * ldc);
          write(c, c_type, i + j * ldc, by * static_cast<double>(sum) + before);
        }
    };
    if (wide)
      product(double{});
    else
      product(float{});
  });
  return CUBLAS_STATUS_SUCCESS;
}
