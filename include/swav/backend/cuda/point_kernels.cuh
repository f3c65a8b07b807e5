// The kernels of an iteration of Sinkhorn::solve of points. In: exponents of the Gibbs kernel, a block of rows of costs
// or made of a few coordinates at a time; factors in the GPU's memory. Out: the rows' factors, what their update did,
// parts of the columns' sums. Each kernel takes the exponentials of its own.
#pragma once

#include <cmath>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/row_tiles.cuh"
#include "swav/backend/cuda/transport_kernels.cuh"
#include "swav/sinkhorn/exponents.hpp"

namespace swav::detail {

inline constexpr int point_column_threads = 128;  // of a block of add_point_columns

/// exp(exponent), 0 below the type's normal numbers.
template <class Kernel, class L>
[[nodiscard]] __device__ L point_entry(L exponent) {
  return exponent >= lowest_exponent<Kernel>() ? static_cast<L>(std::exp(static_cast<Kernel>(exponent))) : L(0);
}

/// (base_f_i + base_g_j - C_ij)/epsilon from costs in memory: [count x cols], of rows first to first + count - 1.
template <class L>
struct CostExponents {
  using value_type = L;
  static constexpr int block_rows = 4;  // of a block of update_point_rows
  struct Row {
    const L* costs;
    L base;
  };
  struct Column {
    Index number;
    L base;
  };
  const L* costs;
  Index first, count, cols;
  const L *base_f, *base_g;
  L inverse;  // 1/epsilon

  [[nodiscard]] __device__ Row row(Index i) const { return {costs + (i - first) * cols, base_f[i]}; }
  [[nodiscard]] __device__ Column column(Index j) const { return {j, base_g[j]}; }
  [[nodiscard]] __device__ L operator()(const Row& row, const Column& column) const {
    return (row.base + column.base - row.costs[column.number]) * inverse;
  }
};

/// a_i + b_j - |p_i - q_j|^2, or the root of that.
template <class L, int Dimension, bool Root>
struct CoordinateExponents {
  using value_type = L;
  static constexpr int block_rows = 8;
  struct Vector {
    L entries[Dimension], rest;
  };
  using Row = Vector;
  using Column = Vector;
  const L *rows, *columns;  // [Dimension + 1][count], [Dimension + 1][cols]: p or q, then a or b
  Index first, count, cols;

  [[nodiscard]] __device__ static Vector load(const L* of, Index size, Index i) {
    Vector vector;
#pragma unroll
    for (int d = 0; d < Dimension; ++d) vector.entries[d] = of[d * size + i];
    vector.rest = of[Dimension * size + i];
    return vector;
  }
  [[nodiscard]] __device__ Row row(Index i) const { return load(rows, count, i); }
  [[nodiscard]] __device__ Column column(Index j) const { return load(columns, cols, j); }
  [[nodiscard]] __device__ L operator()(const Row& row, const Column& column) const {
    L square = 0;
#pragma unroll
    for (int d = 0; d < Dimension; ++d) {
      const L difference = row.entries[d] - column.entries[d];
      square += difference * difference;
    }
    return row.rest + column.rest - (Root ? std::sqrt(square) : square);
  }
};

/// u_i = target_i (sum_j K_ij v_j)^-lambda, relaxed, for a lane with a row, and what the warp's rows do together.
template <class L>
__device__ void finish_point_rows(const RowsUpdate<L>& rows, Index i, bool mine, L product, FactorUpdate<L>* done) {
  FactorUpdate<L> update;
  const L factor =
      update_row(mine ? rows.targets[i] : L(0), product, mine ? rows.old[i] : L(0), rows.lambda, rows.omega, update);
  if (mine) rows.u[i] = factor;
  update = reduce_warp(update, MergeUpdates<L>());
  if (threadIdx.x % warp_threads == 0) *done = update;
}

/// The rows that there are exponents of: their factors, or with several `splits` of the columns the parts of their
/// products, [splits x count].
template <class Kernel, class Exponents, class L = typename Exponents::value_type>
__global__ void __launch_bounds__(most_row_threads)
    update_point_rows(const __grid_constant__ Exponents exponents, const __grid_constant__ RowsUpdate<L> rows,
                      int splits, L* parts) {
  constexpr int count = Exponents::block_rows;
  __shared__ RowScratch<L, count> scratch;
  int turn = 0;
  const Index group = static_cast<Index>(blockIdx.x) / splits, split = static_cast<Index>(blockIdx.x) % splits;
  const Index first = exponents.first + group * count, last = exponents.first + exponents.count - 1;
  const Index end = exponents.cols * (split + 1) / splits;
  typename Exponents::Row row[count];
#pragma unroll
  for (int r = 0; r < count; ++r) row[r] = exponents.row(first + r < last ? first + r : last);
  L products[count] = {};
  for (Index j = exponents.cols * split / splits + threadIdx.x; j < end; j += blockDim.x) {
    const auto column = exponents.column(j);
    const L v = rows.v[j];
#pragma unroll
    for (int r = 0; r < count; ++r) products[r] += point_entry<Kernel>(exponents(row[r], column)) * v;
  }
  reduce_rows(products, CudaAdd(), scratch, turn);
  if (threadIdx.x >= warp_threads) return;
  const int lane = static_cast<int>(threadIdx.x);
  const Index i = first + lane;
  const bool mine = lane < count && i <= last;
  L product = products[0];
#pragma unroll
  for (int r = 1; r < count; ++r) product = lane == r ? products[r] : product;
  if (splits == 1)
    finish_point_rows(rows, i, mine, product, rows.updates + group);
  else if (mine)
    parts[split * exponents.count + i - exponents.first] = product;
}

/// The factors of `count` rows from `first` on, from the parts of their products. By warps, of a row a lane.
template <class L>
__global__ void __launch_bounds__(warp_threads)
    merge_point_rows(const __grid_constant__ RowsUpdate<L> rows, Index first, Index count, int splits, const L* parts) {
  const Index r = static_cast<Index>(blockIdx.x) * warp_threads + threadIdx.x;
  L product = 0;
  for (int split = 0; split < splits && r < count; ++split) product += parts[split * count + r];
  finish_point_rows(rows, first + r, r < count, product, rows.updates + blockIdx.x);
}

/// partial_sums_sj += sum_i u_i K_ij over slice s of the rows that there are exponents of, from 0 where these are the
/// first. By `slices` times as many blocks as the columns take.
template <class Kernel, class Exponents, class L = typename Exponents::value_type>
__global__ void __launch_bounds__(point_column_threads)
    add_point_columns(const __grid_constant__ Exponents exponents, const __grid_constant__ RowsUpdate<L> rows,
                      int slices) {
  const Index slice = static_cast<Index>(blockIdx.x) % slices;
  const Index j = static_cast<Index>(blockIdx.x) / slices * point_column_threads + threadIdx.x;
  if (j >= exponents.cols) return;
  const Index begin = exponents.first + exponents.count * slice / slices,
              end = exponents.first + exponents.count * (slice + 1) / slices;
  const auto column = exponents.column(j);
  L* const to = rows.partial_sums + slice * exponents.cols + j;
  L sum = exponents.first > 0 ? *to : L(0);
#pragma unroll 4
  for (Index i = begin; i < end; ++i) sum += rows.u[i] * point_entry<Kernel>(exponents(exponents.row(i), column));
  *to = sum;
}

}  // namespace swav::detail
