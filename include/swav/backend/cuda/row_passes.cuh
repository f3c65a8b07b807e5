// Rows on the GPU: normalised, converted, cleared. In: row-major memory of the GPU. Out: the same.
#pragma once

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/row_kernels.cuh"
#include "swav/backend/cuda/scalar.cuh"
#include "swav/core/row_passes.hpp"

namespace swav {

template <>
struct RowPasses<CudaDevice> {
  /// Not waited for: a row whose norm is not finite stays as it is, and is what synchronize() throws for.
  template <class Scalar>
  static void normalize(const CudaDevice& device, MatrixView<const Scalar> rows, MatrixView<Scalar> unit,
                        Accumulator<Scalar>* norms) {
    detail::launch(device, detail::warp_row_blocks(rows.rows), detail::row_block_threads,
                   detail::prepare_rows<Scalar, Scalar>, rows, unit, Index{0}, norms, true, int{detail::bad_bank},
                   device.faults());
  }

  /// Nothing is written while there is a fault.
  template <class From, class To>
  static void convert(const CudaDevice& device, MatrixView<const From> from, MatrixView<To> to) {
    detail::launch(device, detail::warp_row_blocks(from.rows), detail::row_block_threads,
                   detail::convert_rows<From, To>, from, to, device.faults());
  }

  template <class Scalar>
  static void copy_in(const CudaDevice&, MatrixView<const Scalar> host, MatrixView<Scalar> rows) {
    detail::copy_rows(host, rows, cudaMemcpyHostToDevice);
  }

  template <class Scalar>
  static void copy_out(const CudaDevice&, MatrixView<const Scalar> rows, MatrixView<Scalar> host) {
    detail::copy_rows(rows, host, cudaMemcpyDeviceToHost);
  }

  template <class Scalar>
  static void clear(const CudaDevice& device, MatrixView<Scalar> rows) {
    detail::check_cuda(cudaMemset2DAsync(rows.data, static_cast<std::size_t>(rows.stride) * sizeof(Scalar), 0,
                                         static_cast<std::size_t>(rows.cols) * sizeof(Scalar),
                                         static_cast<std::size_t>(rows.rows), device.stream()),
                       "cudaMemset2DAsync");
  }
};

}  // namespace swav
