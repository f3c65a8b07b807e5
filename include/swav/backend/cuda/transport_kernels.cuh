// The kernels of an iteration of Sinkhorn::solve over a stored Gibbs kernel. In: the kernel and factors in the GPU's
// memory. Out: the rows' factors, the columns' sums, the columns' factors, and what each update did.
#pragma once

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/row_clusters.cuh"
#include "swav/backend/cuda/row_tiles.cuh"
#include "swav/backend/thrust/transport_updates.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// One update of the rows. L is the type of sums and factors.
template <class L>
struct RowsUpdate {
  const L *v, *targets, *old;  // [cols], [rows], [rows]
  L* u;                        // [rows], not the old ones, which other blocks may yet read
  L lambda, omega;
  L* partial_sums = nullptr;           // [blocks or clusters x cols]
  FactorUpdate<L>* updates = nullptr;  // [blocks or clusters]
};

/// u_i = target_i (sum_j K_ij v_j)^-lambda, relaxed, and the part of sum_i u_i K_ij that the block or cluster has: one
/// read. `Blocks` is BlockRows or ClusterRows.
template <class Layout, class Kernel, class L, class Blocks>
__global__ void __launch_bounds__(Blocks::most_threads)
    update_rows(const __grid_constant__ MatrixView<const Kernel> kernel, const __grid_constant__ RowsUpdate<L> rows) {
  using Tiles = RowTiles<Layout, Kernel, Blocks::tile_bytes>;
  using Tile = typename Tiles::Tile;
  constexpr int count = Tiles::rows, items = Layout::items;
  __shared__ RowScratch<L, count> scratch;
  int turn = 0;
  const Blocks blocks(kernel.cols, Layout::Width);
  const Index first = kernel.rows * blocks.number() / blocks.count(),
              last = kernel.rows * (Index{blocks.number()} + 1) / blocks.count();
  const Tiles tiles(blocks.panel(kernel), first, last, nullptr, 0);
  const int lane = static_cast<int>(threadIdx.x) % warp_threads;
  L sums[items] = {}, factors[items] = {};
  Layout::for_each(blocks.panel(kernel).cols,
                   [&](int item, Index column) { factors[item] = rows.v[blocks.first_column() + column]; });
  typename Blocks::template Sums<L, count> sum_of_blocks;
  FactorUpdate<L> update;
  tiles.read_again([&](int row, const Tile& tile) {
    // A lane of each warp has a row's factor to find.
    const bool mine = lane < count && row + lane < tiles.count();
    const L target = mine ? rows.targets[first + row + lane] : L(0), old = mine ? rows.old[first + row + lane] : L(0);
    L products[count] = {};
    tile.for_each([&](int r, int item, auto value) { products[r] += static_cast<L>(value) * factors[item]; });
    reduce_rows(products, CudaAdd(), scratch, turn);
    L product = products[0];
#pragma unroll
    for (int r = 1; r < count; ++r) product = lane == r ? products[r] : product;
    FactorUpdate<L> of_row;
    const L factor = update_row(target, sum_of_blocks(product), old, rows.lambda, rows.omega, of_row);
    update = MergeUpdates<L>()(update, of_row);
    if (mine && threadIdx.x < warp_threads && blocks.is_first()) rows.u[first + row + lane] = factor;
#pragma unroll
    for (int r = 0; r < count; ++r) {
      const L u = value_of_lane(factor, r);
      tile.for_each_of(r, [&](int item, auto value) { sums[item] += u * static_cast<L>(value); });
    }
  });
  Layout::for_each(blocks.panel(kernel).cols, [&](int item, Index column) {
    rows.partial_sums[static_cast<Index>(blocks.number()) * kernel.cols + blocks.first_column() + column] = sums[item];
  });
  update = reduce_warp(update, MergeUpdates<L>());  // all warps have the same
  if (threadIdx.x == 0 && blocks.is_first()) rows.updates[blocks.number()] = update;
}

/// The columns' sums over all parts of them, in their order, and by the first block what the update did, of `updated`
/// parts.
template <class L>
__global__ void __launch_bounds__(column_slices* warp_threads)
    merge_rows(const L* partial_sums, Index parts, Index cols, L* column_sums, const FactorUpdate<L>* updates,
               Index updated, FactorUpdate<L>* update) {
  __shared__ L slices[column_slices][warp_threads];
  add_up_blocks(
      parts, cols, slices, [&](Index b, Index column) { return partial_sums[b * cols + column]; },
      [&](Index column, L sum) { column_sums[column] = sum; });
  if (blockIdx.x != 0 || threadIdx.x >= warp_threads) return;
  FactorUpdate<L> merged;
#pragma unroll 4
  for (Index b = threadIdx.x; b < updated; b += warp_threads) merged = MergeUpdates<L>()(merged, updates[b]);
  merged = reduce_warp(merged, MergeUpdates<L>());
  if (threadIdx.x == 0) *update = merged;
}

inline constexpr int most_column_blocks = 32;

/// next_j = target_j sum_j^-lambda, relaxed; updates[block] what the block's columns did.
template <class L>
__global__ void __launch_bounds__(most_row_threads)
    update_columns(const L* targets, const L* column_sums, const L* v, Index cols, L lambda, L omega, L* next,
                   FactorUpdate<L>* updates) {
  __shared__ L of_warps[most_row_threads / warp_threads][5];
  const int lane = static_cast<int>(threadIdx.x) % warp_threads, warp = static_cast<int>(threadIdx.x) / warp_threads;
  FactorUpdate<L> merged;
  const Index threads = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index j = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; j < cols; j += threads) {
    FactorUpdate<L> of_column;
    next[j] = update_column(targets[j], column_sums[j], v[j], lambda, omega, of_column);
    merged = MergeUpdates<L>()(merged, of_column);
  }
  merged = reduce_warp(merged, MergeUpdates<L>());
  L* const of_warp = of_warps[warp];
  if (lane == 0) {
    of_warp[0] = merged.residual;
    of_warp[1] = merged.mass;
    of_warp[2] = merged.lowest;
    of_warp[3] = merged.highest;
    of_warp[4] = merged.largest_move;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < static_cast<int>(blockDim.x) / warp_threads; ++w) {
    const L* const o = of_warps[w];
    merged = MergeUpdates<L>()(merged, FactorUpdate<L>{o[0], o[1], o[2], o[3], o[4]});
  }
  updates[blockIdx.x] = merged;
}

}  // namespace swav::detail
