// Kernels that take a row a warp: normalisation and the gradient through it. In: rows in the GPU's memory. Out: the
// same.
#pragma once

#include <cmath>
#include <limits>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/core/scalar_traits.hpp"

namespace swav::detail {

inline constexpr int rows_of_block = 8;  // a warp each
inline constexpr int row_block_threads = rows_of_block * warp_threads;

/// The blocks for rows of a warp each.
[[nodiscard]] constexpr Index warp_row_blocks(Index rows) { return (rows + rows_of_block - 1) / rows_of_block; }

__device__ inline Index warp_row() {
  return static_cast<Index>(blockIdx.x) * rows_of_block + static_cast<Index>(threadIdx.x) / warp_threads;
}
__device__ inline Index warp_lane() { return static_cast<Index>(threadIdx.x) % warp_threads; }

/// sum_d value(d) over a row of `cols`, the same in each lane.
template <class T, class Value>
__device__ T sum_of_row(Index cols, Value value) {
  T sum = 0;
  for (Index d = warp_lane(); d < cols; d += warp_threads) sum += value(d);
  return reduce_warp(sum, CudaAdd());
}

/// unit_r = rows_r/|rows_r|, 0 where that is 0, and norms_r = |rows_r| where it is asked for; rows_r as they are unless
/// `normalize`; 0 in the `padding` entries after each of its rows. `unit` may be the rows' memory. Raises `fault` where
/// a norm is not finite, and leaves that row.
template <class From, class To>
__global__ void __launch_bounds__(row_block_threads)
    prepare_rows(MatrixView<const From> rows, MatrixView<To> unit, Index padding, Accumulator<From>* norms,
                 bool normalize, int fault, int* faults) {
  using A = Accumulator<From>;
  const Index r = warp_row();
  if (r >= rows.rows) return;
  for (Index d = warp_lane(); d < padding; d += warp_threads) unit(r, rows.cols + d) = static_cast<To>(A(0));
  const From* const row = rows.row(r);
  A largest = 0;
  bool finite = true;
  for (Index d = warp_lane(); d < rows.cols; d += warp_threads) {
    const A size = std::abs(static_cast<A>(row[d]));
    if (!(size <= std::numeric_limits<A>::max())) finite = false;
    largest = size > largest ? size : largest;
  }
  if (!finite) largest = std::numeric_limits<A>::infinity();
  largest = reduce_warp(largest, CudaMaximum());
  A norm = largest;
  if (largest > A(0) && largest <= std::numeric_limits<A>::max())  // squares of parts of the largest stay in the range
    norm = largest * std::sqrt(sum_of_row<A>(rows.cols, [&](Index d) {
             const A part = static_cast<A>(row[d]) / largest;
             return part * part;
           }));
  if (!(norm <= std::numeric_limits<A>::max())) {
    if (warp_lane() == 0) atomicOr(faults, fault);
    return;
  }
  if (norms != nullptr && warp_lane() == 0) norms[r] = norm;
  for (Index d = warp_lane(); d < rows.cols; d += warp_threads) {
    const A value = static_cast<A>(row[d]);
    unit(r, d) = static_cast<To>(!normalize ? value : norm > A(0) ? value / norm : A(0));
  }
}

/// to_rc = To(from_rc), unless there is a fault.
template <class From, class To>
__global__ void __launch_bounds__(row_block_threads)
    convert_rows(MatrixView<const From> from, MatrixView<To> to, const int* faults) {
  const Index r = warp_row();
  if (r >= from.rows || *faults != 0) return;
  for (Index d = warp_lane(); d < from.cols; d += warp_threads)
    to(r, d) = static_cast<To>(static_cast<Accumulator<From>>(from(r, d)));
}

/// A row's gradient with respect to unit = x/|x|, made that with respect to x: (g - (g . unit) unit)/|x|, 0 where |x|
/// is 0; g as it is where there are no norms. `g(d)` gives its entries, which are stored in `to`.
template <class To, class Unit, class A, class Gradient>
__device__ void store_row_gradient(To* to, const Unit* unit, Index cols, const A* norm, Gradient g) {
  A along = 0, factor = 1;
  if (norm != nullptr) {
    along = sum_of_row<A>(cols, [&](Index d) { return g(d) * static_cast<A>(unit[d]); });
    factor = *norm > A(0) ? A(1) / *norm : A(0);
  }
  for (Index d = warp_lane(); d < cols; d += warp_threads)
    to[d] = static_cast<To>((g(d) - along * static_cast<A>(unit[d])) * factor);
}

}  // namespace swav::detail
