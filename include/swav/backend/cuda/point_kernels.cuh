// The kernels of an iteration of Sinkhorn::solve of points, whose costs are there a block of rows at a time. In: costs,
// base potentials and factors in the GPU's memory. Out: the rows' factors, what their update did, parts of the columns'
// sums. Both take the Gibbs kernel's exponentials from the costs, which the GPU's cache has.
#pragma once

#include <cmath>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/row_tiles.cuh"
#include "swav/backend/cuda/transport_kernels.cuh"
#include "swav/sinkhorn/exponents.hpp"

namespace swav::detail {

inline constexpr int point_rows = 4;              // that a block of update_point_rows has
inline constexpr int point_column_threads = 128;  // of a block of add_point_columns

/// Rows first to first + count - 1 of a problem.
template <class L>
struct PointRows {
  const L* costs;  // [count x cols]
  Index first, count, cols;
  const L *base_f, *base_g;  // [rows], [cols]
  L inverse;                 // 1/epsilon
  RowsUpdate<L> rows;

  /// exp((base_f_i + base_g_j - C_ij)/epsilon), 0 below the type's normal numbers.
  template <class Kernel>
  [[nodiscard]] __device__ static L entry(L base_f, L base_g, L cost, L inverse) {
    const L exponent = (base_f + base_g - cost) * inverse;
    return exponent >= lowest_exponent<Kernel>() ? static_cast<L>(std::exp(static_cast<Kernel>(exponent))) : L(0);
  }
};

/// u_i = target_i (sum_j K_ij v_j)^-lambda, relaxed.
template <class Kernel, class L>
__global__ void __launch_bounds__(most_row_threads) update_point_rows(const __grid_constant__ PointRows<L> points) {
  __shared__ RowScratch<L, point_rows> scratch;
  int turn = 0;
  const RowsUpdate<L>& rows = points.rows;
  const Index row = static_cast<Index>(blockIdx.x) * point_rows, cols = points.cols;
  const L* costs[point_rows];
  L base_f[point_rows], products[point_rows] = {};
#pragma unroll
  for (int r = 0; r < point_rows; ++r) {
    const Index here = row + r < points.count ? row + r : points.count - 1;
    costs[r] = points.costs + here * cols;
    base_f[r] = points.base_f[points.first + here];
  }
#pragma unroll 2
  for (Index j = threadIdx.x; j < cols; j += blockDim.x) {
    const L base_g = points.base_g[j], v = rows.v[j];
#pragma unroll
    for (int r = 0; r < point_rows; ++r)
      products[r] += PointRows<L>::template entry<Kernel>(base_f[r], base_g, costs[r][j], points.inverse) * v;
  }
  reduce_rows(products, CudaAdd(), scratch, turn);
  if (threadIdx.x >= warp_threads) return;
  const int lane = static_cast<int>(threadIdx.x);
  const bool mine = lane < point_rows && row + lane < points.count;
  L product = products[0];
#pragma unroll
  for (int r = 1; r < point_rows; ++r) product = lane == r ? products[r] : product;
  const Index i = points.first + row + lane;
  FactorUpdate<L> update;
  const L factor =
      update_row(mine ? rows.targets[i] : L(0), product, mine ? rows.old[i] : L(0), rows.lambda, rows.omega, update);
  if (mine) rows.u[i] = factor;
  update = reduce_warp(update, MergeUpdates<L>());
  if (lane == 0) rows.updates[points.first / point_rows + blockIdx.x] = update;
}

/// partial_sums_sj += sum_i u_i K_ij over a slice of the rows, from 0 in the first block of them. Of `slices` times the
/// blocks that the columns take.
template <class Kernel, class L>
__global__ void __launch_bounds__(point_column_threads)
    add_point_columns(const __grid_constant__ PointRows<L> points, int slices) {
  const Index cols = points.cols, slice = static_cast<Index>(blockIdx.x) % slices;
  const Index j = static_cast<Index>(blockIdx.x) / slices * point_column_threads + threadIdx.x;
  if (j >= cols) return;
  const Index begin = points.count * slice / slices, end = points.count * (slice + 1) / slices;
  const L base_g = points.base_g[j];
  L* const to = points.rows.partial_sums + slice * cols + j;
  L sum = points.first > 0 ? *to : L(0);
#pragma unroll 4
  for (Index r = begin; r < end; ++r) {
    const Index i = points.first + r;
    sum += points.rows.u[i] *
           PointRows<L>::template entry<Kernel>(points.base_f[i], base_g, points.costs[r * cols + j], points.inverse);
  }
  *to = sum;
}

}  // namespace swav::detail
