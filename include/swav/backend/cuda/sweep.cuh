// A matrix product whose result is used where it is made, in registers: rows of halves z times rows c, on tensor cores.
// In: rows in the GPU's memory. Out: each entry of z c^T once, to a function of the caller's.
//
// A block keeps a tile of z's rows in registers and takes the rows of c through shared memory, a stage being multiplied
// while the next one is copied.
#pragma once

#include <cuda_fp16.h>

#include <limits>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/warp_matrix.cuh"

namespace swav::detail {

/// For rows of at most 16 `Steps_` entries. A warp has 16 or 32 rows: as many as leave registers for two blocks on a
/// multiprocessor, or for one beyond 128 entries a row.
template <int Steps_>
struct SweepShape {
  static constexpr int Steps = Steps_, depth = 16 * Steps;
  static constexpr int warps = 8, threads = warps * warp_threads;
  static constexpr int tiles = Steps <= 8 ? 2 : 1;  // of 16 rows, a warp
  static constexpr int warp_rows = 16 * tiles, rows = warps * warp_rows;
  static constexpr int stage = Steps <= 8 ? 64 : 32;  // rows of c
  static constexpr int pitch = depth + 8;             // 16 bytes more: 8 adjacent rows begin in banks of their own
  static constexpr int blocks = 2;                    // on a multiprocessor
  static constexpr int places = 2 * tiles;            // rows of which a thread has entries
  static constexpr int width = 4;                     // adjacent columns that a thread has of a product
  static constexpr int group = 4 * width;             // columns of a product

  struct alignas(16) Shared {
    __half rows[2 * stage][pitch];  // two stages
  };

  static __device__ int warp() { return static_cast<int>(threadIdx.x) / warp_threads; }
  static __device__ int lane() { return static_cast<int>(threadIdx.x) % warp_threads; }
  /// Of the block's rows, the one that a thread's entries at `place` are of.
  static __device__ int row(int place) { return warp() * warp_rows + 8 * place + lane() / 4; }
};

inline constexpr Index most_sweep_depth = 256;

/// body(SweepShape<...>{}) for rows of `depth` entries.
template <class Body>
void with_sweep_shape(Index depth, Body body) {
  if (depth <= 64) return body(SweepShape<4>{});
  if (depth <= 128) return body(SweepShape<8>{});
  body(SweepShape<16>{});
}

/// Begins to copy `Count` rows, from first + order(i) to the i-th place of shared memory; 0 where a matrix has no row
/// or column; rows end with zeros at a multiple of 16 bytes. `order` moves bits of i to other places.
template <class Shape, int Count, class Order>
__device__ void copy_to_shared(MatrixView<const __half> from, Index first, __half (*to)[Shape::pitch], Order order) {
  constexpr int chunks = Shape::depth / 8, rows_at_once = Shape::threads / chunks;
  const int thread = static_cast<int>(threadIdx.x), chunk = thread % chunks, place = thread / chunks;
  const bool has_columns = 8 * chunk < static_cast<int>(from.cols);
  const Index row = first + order(place), rows = from.rows - row;
  const __half* const data = from.row(row) + 8 * chunk;
#pragma unroll
  for (int i = 0; i < Count; i += rows_at_once) {
    const bool there = has_columns && order(i) < rows;
    copy_async(to[place + i] + 8 * chunk, there ? data + order(i) * from.stride : from.data, there);
  }
}

/// take(place, scores, column) for the products of each of the thread's rows (Shape::row, counted from first_row) with
/// the rows column .. column + Shape::width - 1 of c: all of stages first_stage .. last_stage - 1. float's lowest value
/// beyond c's last row; nothing for warps without a row of z. Rows begin at multiples of 16 bytes. By a whole block. A
/// product has the same bits in every sweep of its shape.
template <class Shape, class Take>
__device__ void sweep(MatrixView<const __half> z, MatrixView<const __half> c, Index first_row, int first_stage,
                      int last_stage, Take take) {
  __shared__ typename Shape::Shared shared;
  constexpr int half_rows = 2 * Shape::stage;  // of z, half of the tile's
  static_assert(Shape::rows == 2 * half_rows);
  const int warp = Shape::warp(), lane = Shape::lane(), matrix = lane / 8;
  unsigned a[Shape::tiles][Shape::Steps][4] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    copy_to_shared<Shape, half_rows>(z, first_row + half * half_rows, shared.rows, [](int place) { return place; });
    wait_for_copies();
    __syncthreads();
    if (warp / (Shape::warps / 2) == half) {
      const int first = warp % (Shape::warps / 2) * Shape::warp_rows + matrix % 2 * 8 + lane % 8;
#pragma unroll
      for (int t = 0; t < Shape::tiles; ++t)
#pragma unroll
        for (int step = 0; step < Shape::Steps; ++step)
          load_matrices(&shared.rows[first + 16 * t][16 * step + matrix / 2 * 8], a[t][step]);
    }
    __syncthreads();
  }

  // A thread has columns 2 (t % 4) and the next of each product of 8. So that they are adjacent over the products of a
  // group, row n of product j is row width (n / 2) + 2 j + n % 2 of the group.
  const auto copy_stage = [&](int stage) {
    copy_to_shared<Shape, Shape::stage>(
        c, static_cast<Index>(stage) * Shape::stage, shared.rows + (stage & 1) * Shape::stage, [](int place) {
          const int n = place % 8, j = place % Shape::group / 8;
          return place / Shape::group * Shape::group + n / 2 * Shape::width + 2 * j + n % 2;
        });
  };
  const bool has_rows = first_row + warp * Shape::warp_rows < z.rows;
  if (first_stage < last_stage) copy_stage(first_stage);
  for (int stage = first_stage; stage < last_stage; ++stage) {
    wait_for_copies();
    __syncthreads();  // this stage is here, and the one before it is done with
    if (stage + 1 < last_stage) copy_stage(stage + 1);
    if (!has_rows) continue;
    const __half(*const b)[Shape::pitch] = shared.rows + (stage & 1) * Shape::stage;
#pragma unroll 1
    for (int group = 0; group < Shape::stage; group += Shape::group) {
      float sums[Shape::tiles][Shape::width / 2][4] = {};
#pragma unroll
      for (int step = 0; step < Shape::Steps; ++step)
#pragma unroll
        for (int j = 0; j < Shape::width / 2; j += 2) {
          unsigned words[4];
          load_matrices(&b[group + 8 * j + matrix / 2 * 8 + lane % 8][16 * step + matrix % 2 * 8], words);
#pragma unroll
          for (int t = 0; t < Shape::tiles; ++t) {
            multiply_add(sums[t][j], a[t][step], words[0], words[1]);
            multiply_add(sums[t][j + 1], a[t][step], words[2], words[3]);
          }
        }
      const int column = stage * Shape::stage + group + lane % 4 * Shape::width;
      const Index left = c.rows - column;
      if (left < Shape::width)
#pragma unroll
        for (int t = 0; t < Shape::tiles; ++t)
#pragma unroll
          for (int j = 0; j < Shape::width / 2; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i)
              if (2 * j + i % 2 >= left) sums[t][j][i] = std::numeric_limits<float>::lowest();
#pragma unroll
      for (int place = 0; place < Shape::places; ++place) {
        float scores[Shape::width];
#pragma unroll
        for (int i = 0; i < Shape::width; ++i) scores[i] = sums[place / 2][i / 2][place % 2 * 2 + i % 2];
        take(place, scores, column);
      }
    }
  }
}

}  // namespace swav::detail
