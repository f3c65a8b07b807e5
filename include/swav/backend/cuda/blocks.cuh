// What kernels that take a row a block have in common. In: rows in the GPU's memory. Out: a thread's part of a row in
// registers, and reductions over the threads of a block in an order of their own.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "swav/core/matrix_view.hpp"

/// `name` points to a block's dynamic shared memory, on 16 bytes.
#ifndef SWAV_DYNAMIC_SHARED
#define SWAV_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

namespace swav::detail {

inline constexpr int warp_threads = 32;
inline constexpr int most_row_threads = 512;  // of a block that takes rows

/// The threads for `count` entries: whole warps, one at least.
[[nodiscard]] constexpr Index whole_warps(Index count) {
  return count <= warp_threads ? warp_threads : (count + warp_threads - 1) / warp_threads * warp_threads;
}

struct CudaAdd {
  template <class T>
  __device__ T operator()(T x, T y) const {
    return x + y;
  }
};
struct CudaMaximum {
  template <class T>
  __device__ T operator()(T x, T y) const {
    return x > y ? x : y;
  }
};

/// move(word) of a number, or of each word of a struct.
template <class T, class Move>
__device__ T move_words(T value, Move move) {
  if constexpr (std::is_arithmetic_v<T>) {
    return move(value);
  } else {
    using Word = std::conditional_t<sizeof(T) % 8 == 0, unsigned long long, unsigned>;
    constexpr int count = static_cast<int>(sizeof(T) / sizeof(Word));
    static_assert(sizeof(T) == count * sizeof(Word) && std::is_trivially_copyable_v<T>);
    Word words[count];
    std::memcpy(words, &value, sizeof(T));
#pragma unroll
    for (Word& word : words) word = move(word);
    std::memcpy(&value, words, sizeof(T));
    return value;
  }
}

/// The value of the lane whose number differs by the bits of `mask`.
template <class T>
__device__ T exchange_lanes(T value, int mask) {
  return move_words(value, [mask](auto word) { return __shfl_xor_sync(~0u, word, mask); });
}

/// The value of a lane, in all of them.
template <class T>
__device__ T value_of_lane(T value, int lane) {
  return move_words(value, [lane](auto word) { return __shfl_sync(~0u, word, lane); });
}

/// value of lane 0 op ... op that of the last lane, in each lane.
template <class T, class Operation>
__device__ T reduce_warp(T value, Operation operation) {
#pragma unroll
  for (int distance = warp_threads / 2; distance > 0; distance /= 2)
    value = operation(value, exchange_lanes(value, distance));
  return value;
}

/// An entry of a row, and where it is.
template <class A>
struct Place {
  A value;
  int column;
};
/// The larger, the first of several.
struct CudaFirstLargest {
  template <class A>
  __device__ Place<A> operator()(Place<A> x, Place<A> y) const {
    return x.value > y.value || (x.value == y.value && x.column < y.column) ? x : y;
  }
};

/// Scratch for reduce_block of up to `Count` values at a time. Turns halves, so that one barrier a call is enough.
template <class T, int Count>
struct BlockScratch {
  T halves[2][Count][warp_threads];
};

/// Lane 0 gets first_0 op ... op first_(count - 1) of the lanes; the others something.
template <class T, class Operation>
__device__ T reduce_first_lanes(T value, int lane, int lanes, int count, Operation operation) {
  for (int step = lanes / 2; step > 0; step /= 2) {
    const T other = exchange_lanes(value, step);
    if ((lane & step) == 0 && (lane | step) < count) value = operation(value, other);
  }
  return value;
}

/// values_i := values_i of thread 0 op ... op that of the last thread, in each thread; the order depends on blockDim
/// alone, and every thread gets the same bits. `turn` counts the calls, of one scratch or of several.
template <int Count, class T, int Most, class Operation>
__device__ void reduce_block(T (&values)[Count], Operation operation, BlockScratch<T, Most>& scratch, int& turn) {
  static_assert(Count <= Most);
#pragma unroll
  for (int i = 0; i < Count; ++i) values[i] = reduce_warp(values[i], operation);
  const int warps = static_cast<int>(blockDim.x) / warp_threads;
  if (warps == 1) return;
  auto& half = scratch.halves[turn++ & 1];
  const int lane = static_cast<int>(threadIdx.x) % warp_threads, warp = static_cast<int>(threadIdx.x) / warp_threads;
  if (lane == 0)
#pragma unroll
    for (int i = 0; i < Count; ++i) half[i][warp] = values[i];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < Count; ++i) {
    const T part = half[i][lane < warps ? lane : 0];
    values[i] = value_of_lane(reduce_first_lanes(part, lane, warp_threads, warps, operation), 0);
  }
}

inline constexpr int column_slices = 8;  // threads, at most, that share what blocks have of a column

/// store(column, sum), with the sum over all b < blocks of part(b, column), in the order of slices of these. By a
/// launch of a block for each warp_threads columns, a lane having a column and a warp a slice.
template <class T, class Part, class Store>
__device__ void add_up_blocks(Index blocks, Index cols, T (&slices)[column_slices][warp_threads], Part part,
                              Store store) {
  const int warps = static_cast<int>(blockDim.x) / warp_threads;
  const int lane = static_cast<int>(threadIdx.x) % warp_threads, slice = static_cast<int>(threadIdx.x) / warp_threads;
  const Index column = static_cast<Index>(blockIdx.x) * warp_threads + lane;
  T sum = 0;
  if (column < cols)
#pragma unroll 8
    for (Index b = slice; b < blocks; b += warps) sum += part(b, column);
  slices[slice][lane] = sum;
  __syncthreads();
  if (slice != 0 || column >= cols) return;
  for (int s = 1; s < warps; ++s) sum += slices[s][lane];
  store(column, sum);
}

template <class T, int Width>
struct alignas(sizeof(T) * Width) Pack {
  T entries[Width];
};

/// How a row of `cols` entries is spread over the threads of a block: `Packs` times `Width` adjacent entries a thread,
/// in registers; with 0 packs the row does not fit and threads walk through it.
template <int Width_, int Packs_>
struct RowLayout {
  static constexpr int Width = Width_, Packs = Packs_;
  static constexpr int items = Packs > 0 ? Packs* Width : 1;  // a thread's part, in registers

  /// body(item, column) for each entry of this thread.
  template <class Body>
  static __device__ void for_each(Index cols, Body body) {
    const auto threads = static_cast<Index>(blockDim.x), thread = static_cast<Index>(threadIdx.x);
    if constexpr (Packs > 0) {
#pragma unroll
      for (int p = 0; p < Packs; ++p) {
        const Index column = (p * threads + thread) * Width;
        if (column < cols)
#pragma unroll
          for (int w = 0; w < Width; ++w) body(p * Width + w, column + w);
      }
    } else {
      for (Index column = thread; column < cols; column += threads) body(0, column);
    }
  }

  /// part_i = the thread's entries of a row; nothing where there are no packs.
  template <class T, class A>
  static __device__ void load(const T* row, Index cols, A (&part)[items]) {
    if constexpr (Packs > 0) {
      const auto threads = static_cast<Index>(blockDim.x), thread = static_cast<Index>(threadIdx.x);
#pragma unroll
      for (int p = 0; p < Packs; ++p) {
        const Index column = (p * threads + thread) * Width;
        if (column >= cols) continue;
        const auto pack = *reinterpret_cast<const Pack<T, Width>*>(row + column);
#pragma unroll
        for (int w = 0; w < Width; ++w) part[p * Width + w] = static_cast<A>(pack.entries[w]);
      }
    }
  }
  /// The thread's entry: from its part, or from the row itself where there are no packs.
  template <class T, class A>
  static __device__ A entry(const T* row, const A (&part)[items], int item, Index column) {
    if constexpr (Packs > 0)
      return part[item];
    else
      return static_cast<A>(row[column]);
  }
  /// row_c = value(item, c) for the thread's entries, a pack at a time.
  template <class T, class Value>
  static __device__ void store(T* row, Index cols, Value value) {
    if constexpr (Packs > 0) {
      const auto threads = static_cast<Index>(blockDim.x), thread = static_cast<Index>(threadIdx.x);
#pragma unroll
      for (int p = 0; p < Packs; ++p) {
        const Index column = (p * threads + thread) * Width;
        if (column >= cols) continue;
        Pack<T, Width> pack;
#pragma unroll
        for (int w = 0; w < Width; ++w) pack.entries[w] = static_cast<T>(value(p * Width + w, column + w));
        *reinterpret_cast<Pack<T, Width>*>(row + column) = pack;
      }
    } else {
      for_each(cols, [&](int item, Index column) { row[column] = static_cast<T>(value(item, column)); });
    }
  }
};

/// Which layout rows get. `width` is that of 16 bytes where rows allow it, else 1.
struct RowPlan {
  int width = 1, packs = 0, threads = warp_threads;
};

/// Whether rows of T can be read 16 bytes at a time.
template <class T>
[[nodiscard]] bool reads_packs(const T* data, Index cols, Index stride) {
  constexpr Index width = 16 / static_cast<Index>(sizeof(T));
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && cols % width == 0 && stride % width == 0;
}

/// The smallest part a thread with which the row fits a block of at most so many threads.
template <class T>
[[nodiscard]] RowPlan plan_rows(Index cols, bool packed, int most_threads = most_row_threads) {
  constexpr int most_items = 16;
  RowPlan plan{packed ? 16 / static_cast<int>(sizeof(T)) : 1, 0, most_threads};
  const Index packs_of_row = (cols + plan.width - 1) / plan.width;
  for (const int packs : {1, 2, 4, 16}) {
    const Index threads = (packs_of_row + packs - 1) / packs;
    if (packs * plan.width > most_items || (packs == 16 && packed) || threads > most_threads) continue;
    plan.packs = packs;
    plan.threads = static_cast<int>(whole_warps(threads));
    break;
  }
  return plan;
}

/// body(RowLayout<...>{}) with the plan's layout, for rows of T.
template <class T, class Body>
void with_layout(const RowPlan& plan, Body body) {
  constexpr int wide = 16 / static_cast<int>(sizeof(T));
  if (plan.packs == 0) return body(RowLayout<1, 0>{});
  if (plan.width == 1) {
    if (plan.packs == 1) return body(RowLayout<1, 1>{});
    if (plan.packs == 2 || plan.packs == 4) return body(RowLayout<1, 4>{});
    return body(RowLayout<1, 16>{});
  }
  if (plan.packs == 1) return body(RowLayout<wide, 1>{});
  if constexpr (wide * 2 <= 16)
    if (plan.packs == 2) return body(RowLayout<wide, 2>{});
  if constexpr (wide * 4 <= 16)
    if (plan.packs == 4) return body(RowLayout<wide, 4>{});
}

}  // namespace swav::detail
