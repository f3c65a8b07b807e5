// A block's rows, several at a time. In: a matrix in the GPU's memory. Out: each thread's part of a tile of rows, from
// the block's shared memory where it has been put there, else read while the tile before is worked with; sums over
// rows.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/core/scalar_traits.hpp"

namespace swav::detail {

/// Adjacent entries of a row as they are in memory. Words, since a compiler would have a register for each 16 bits.
template <class T, int Width>
struct alignas(sizeof(T) * Width) RawPack {
  using Word = std::conditional_t<sizeof(T) == 2 && Width == 1, std::uint16_t, std::uint32_t>;
  static constexpr int per_word = static_cast<int>(sizeof(Word) / sizeof(T));  // 0: several words an entry
  Word words[sizeof(T) * Width / sizeof(Word)];

  [[nodiscard]] __device__ T entry(int w) const {
    T value;
    if constexpr (per_word == 2) {
      const auto bits = static_cast<std::uint16_t>(words[w / 2] >> (w % 2 * 16));
      std::memcpy(&value, &bits, sizeof(T));
    } else {
      std::memcpy(&value, words + w * static_cast<int>(sizeof(T) / sizeof(Word)), sizeof(T));
    }
    return value;
  }
};

/// Scratch for reduce_rows. Turns halves, so that one barrier a call is enough.
template <class T, int Count>
struct RowScratch {
  T halves[2][most_row_threads / warp_threads * Count];
};

/// values_i := values_i of thread 0 op ... op that of the last thread, in each thread: as reduce_block, for an
/// `Operation` that commutes, with the lanes of a warp sharing the values among them. Count is a power of 2. The order
/// depends on blockDim alone, and every thread gets the same bits.
template <int Count, class T, class Operation>
__device__ void reduce_rows(T (&values)[Count], Operation operation, RowScratch<T, Count>& scratch, int& turn) {
  constexpr int lanes = warp_threads / Count;  // of a value
  const int lane = static_cast<int>(threadIdx.x) % warp_threads, warp = static_cast<int>(threadIdx.x) / warp_threads;
  int distance = warp_threads / 2;
#pragma unroll
  for (int half = Count / 2; half > 0; half /= 2) {
    const bool upper = (lane & distance) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const T sent = upper ? values[i] : values[half + i], kept = upper ? values[half + i] : values[i];
      values[i] = operation(kept, exchange_lanes(sent, distance));
    }
    distance /= 2;
  }
#pragma unroll
  for (int step = lanes / 2; step > 0; step /= 2) values[0] = operation(values[0], exchange_lanes(values[0], step));
  T found = values[0];  // of this warp, for value lane / lanes
  const int warps = static_cast<int>(blockDim.x) / warp_threads;
  if (warps > 1) {
    T* const half = scratch.halves[turn++ & 1];
    if (lane % lanes == 0) half[warp * Count + lane / lanes] = found;
    __syncthreads();
    const int first = lane % lanes;
    found = half[(first < warps ? first : 0) * Count + lane / lanes];
#pragma unroll
    for (int w = lanes; w < most_row_threads / warp_threads; w += lanes)
      if (first + w < warps) found = operation(found, half[(first + w) * Count + lane / lanes]);
    found = reduce_first_lanes(found, first, lanes, warps, operation);
  } else {
    __syncwarp();  // as the barrier does: what was read of shared memory before may be written after
  }
#pragma unroll
  for (int i = 0; i < Count; ++i) values[i] = value_of_lane(found, i * lanes);
}

inline constexpr int most_tile_threads = 384;  // of a block: two of them fit a multiprocessor

/// The tiles of a block's rows [first, last). A thread has the same columns in all of them; one that has none in a pack
/// has the first column's instead, and rows after the last are the last again. `Bytes`: what a thread has of a tile,
/// and of the next one, which is on its way.
template <class Layout, class Scalar, int Bytes = 32>
class RowTiles {
  using A = Accumulator<Scalar>;
  static constexpr int Width = Layout::Width, Packs = Layout::Packs;
  using Entries = RawPack<Scalar, Width>;

  static constexpr int power_of_2_up_to_8(int count) { return count >= 8 ? 8 : count >= 4 ? 4 : count >= 2 ? 2 : 1; }

 public:
  static constexpr int rows =
      power_of_2_up_to_8(Width == 1 ? Bytes / 4 / Packs : Bytes / (Packs * static_cast<int>(sizeof(Entries))));

  struct Tile {
    Entries packs[rows][Packs];

    /// body(row of the tile, item of the thread, entry).
    template <class Body>
    __device__ void for_each(Body body) const {
#pragma unroll
      for (int r = 0; r < rows; ++r) for_each_of(r, [&](int item, A value) { body(r, item, value); });
    }
    /// The same of one row, whose number is known when this is compiled: body(item, entry).
    template <class Body>
    __device__ void for_each_of(int r, Body body) const {
#pragma unroll
      for (int p = 0; p < Packs; ++p)
#pragma unroll
        for (int w = 0; w < Width; ++w) body(p * Width + w, static_cast<A>(packs[r][p].entry(w)));
    }
  };

  /// Shared memory for a row.
  [[nodiscard]] static constexpr Index row_bytes(int threads) {
    return Index{Packs} * threads * static_cast<Index>(sizeof(Entries));
  }

  /// `resident` rows fit in `shared`, a multiple of `rows`.
  __device__ RowTiles(MatrixView<const Scalar> matrix, Index first, Index last, unsigned char* shared, int resident)
      : matrix_(matrix.middle_rows(first, last - first)),
        count_(static_cast<int>(last - first)),
        resident_(resident < count_ ? resident : count_),
        shared_(reinterpret_cast<Entries*>(shared) + threadIdx.x) {}

  [[nodiscard]] __device__ int count() const { return count_; }

  /// body(first row of the tile, counted from `first`, tile), and puts what is to be resident into shared memory.
  template <class Body>
  __device__ void read(Body body) const {
    stream(0, [&](int row, const Tile& tile) {
      if (row < resident_)
        for_packs([&](int r, int p) {
          if (row + r < count_) *slot(row + r, p) = tile.packs[r][p];
        });
      body(row, tile);
    });
  }
  /// The same after read().
  template <class Body>
  __device__ void read_again(Body body) const {
    int row = 0;
#pragma unroll 1
    for (; row < resident_; row += rows) {
      Tile tile;
      for_packs([&](int r, int p) { tile.packs[r][p] = *slot(clamped(row + r), p); });
      body(row, tile);
    }
    stream(row, body);
  }

 private:
  template <class Body>
  __device__ void stream(int row, Body body) const {
    Tile next;
    fetch(row, next);
#pragma unroll 1
    for (; row < count_; row += rows) {
      const Tile tile = next;
      fetch(row + rows, next);
      body(row, tile);
    }
  }
  __device__ void fetch(int row, Tile& tile) const {
    if (row >= count_) return;
    for_packs([&](int r, int p) {
      const int column = (p * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * Width;
      tile.packs[r][p] =
          *reinterpret_cast<const Entries*>(matrix_.row(clamped(row + r)) + (column < matrix_.cols ? column : 0));
    });
  }
  template <class Body>
  __device__ static void for_packs(Body body) {
#pragma unroll
    for (int r = 0; r < rows; ++r)
#pragma unroll
      for (int p = 0; p < Packs; ++p) body(r, p);
  }
  [[nodiscard]] __device__ int clamped(int row) const { return row < count_ ? row : count_ - 1; }
  // Only the thread that wrote a slot reads it.
  [[nodiscard]] __device__ Entries* slot(int row, int pack) const {
    return shared_ + (row * Packs + pack) * static_cast<int>(blockDim.x);
  }

  MatrixView<const Scalar> matrix_;
  int count_, resident_;
  Entries* shared_;
};

}  // namespace swav::detail
