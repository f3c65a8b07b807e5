// Memory of a GPU. In: sizes, host matrices. Out: buffers and the owning matrix there.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

#include "swav/backend/cuda/error.cuh"
#include "swav/core/matrix_view.hpp"

namespace swav {

/// Uninitialised storage in the GPU's memory that only ever grows, from cudaMalloc.
template <class T>
class CudaBuffer {
 public:
  CudaBuffer() = default;
  CudaBuffer(CudaBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
  CudaBuffer& operator=(CudaBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~CudaBuffer() { cudaFree(data_); }

  /// Storage for at least `count` elements; allocates only when more than ever before is asked for, and then the old
  /// contents are lost. Not while a stream is captured.
  T* reserve(Index count) {
    if (count > capacity_) {
      cudaFree(std::exchange(data_, nullptr));
      capacity_ = 0;
      data_ = detail::allocate_cuda<T>(static_cast<std::size_t>(count));
      capacity_ = count;
    }
    return data_;
  }
  /// The same with a quarter more where it allocates, for counts that differ from call to call.
  T* reserve_ahead(Index count) { return count > capacity_ ? reserve(count + count / 4) : data_; }
  [[nodiscard]] T* data() const { return data_; }

 private:
  T* data_ = nullptr;
  Index capacity_ = 0;
};

namespace detail {

/// Copies a matrix between or within the host's and the GPU's memory; waits for all work on the GPU, before and after.
template <class T>
void copy_rows(MatrixView<const T> from, MatrixView<T> to, cudaMemcpyKind kind) {
  if (from.size() == 0) return;
  const auto bytes = [](Index count) { return static_cast<std::size_t>(count) * sizeof(T); };
  check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  check_cuda(cudaMemcpy2D(to.data, bytes(to.stride), from.data, bytes(from.stride), bytes(from.cols),
                          static_cast<std::size_t>(from.rows), kind),
             "cudaMemcpy2D");
  check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

}  // namespace detail

/// The owning dense row-major matrix in the GPU's memory. Converts to a MatrixView of that memory.
template <class T>
class CudaMatrix {
 public:
  static constexpr bool IsRowMajor = true;

  CudaMatrix() = default;
  CudaMatrix(CudaMatrix&&) noexcept = default;
  CudaMatrix& operator=(CudaMatrix&&) noexcept = default;
  /// A copy; waits for all work on the GPU, before and after.
  CudaMatrix(const CudaMatrix& other) : CudaMatrix(other.rows_, other.cols_) {
    detail::copy_rows(MatrixView<const T>(other), MatrixView<T>(*this), cudaMemcpyDeviceToDevice);
  }
  CudaMatrix& operator=(const CudaMatrix& other) { return *this = CudaMatrix(other); }
  /// Uninitialised.
  CudaMatrix(Index rows, Index cols) : rows_(rows), cols_(cols) { buffer_.reserve(rows * cols); }
  /// A copy of host memory, complete when this returns.
  explicit CudaMatrix(MatrixView<const T> host) : CudaMatrix(host.rows, host.cols) { copy_from(host); }

  /// From host memory of this shape; waits for all work on the GPU, before and after.
  void copy_from(MatrixView<const T> host) {
    check_shape("copy_from", host.rows, host.cols);
    detail::copy_rows(host, MatrixView<T>(*this), cudaMemcpyHostToDevice);
  }
  /// To host memory of this shape; waits for all work on the GPU.
  void copy_to(MatrixView<T> host) const {
    check_shape("copy_to", host.rows, host.cols);
    detail::copy_rows(MatrixView<const T>(*this), host, cudaMemcpyDeviceToHost);
  }

  [[nodiscard]] Index rows() const { return rows_; }
  [[nodiscard]] Index cols() const { return cols_; }
  [[nodiscard]] Index size() const { return rows_ * cols_; }
  [[nodiscard]] T* data() { return buffer_.data(); }
  [[nodiscard]] const T* data() const { return buffer_.data(); }
  [[nodiscard]] Index innerStride() const { return 1; }
  [[nodiscard]] Index outerStride() const { return cols_; }

 private:
  void check_shape(const char* call, Index rows, Index cols) const {
    detail::require(rows == rows_ && cols == cols_, "CudaMatrix::", call, ": host memory of shape ", rows, " x ", cols,
                    " found, ", rows_, " x ", cols_, " wanted");
  }

  CudaBuffer<T> buffer_;
  Index rows_ = 0, cols_ = 0;
};

}  // namespace swav
