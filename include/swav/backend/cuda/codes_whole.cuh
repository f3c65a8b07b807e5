// SwAV's codes in one launch. In: scores in the GPU's memory. Out: codes. All blocks are there at once and wait for
// each other between passes. A block keeps as many of its rows as its shared memory holds; the others are read again in
// each pass, and the next ones while those before are worked with.
//
// Columns have potentials g_k, in powers of 2, that their scores' exponents are added to, and rows a reference: with
// p_bk = exp2((s_bk - reference_b) scale + g_k) a row's sum of p leaves 1/B by a factor that one iteration makes, and
// not by what the span of the scores makes of all of them.
#pragma once

#include <cooperative_groups.h>

#include <cmath>
#include <limits>

#include "swav/backend/cuda/approximate_math.cuh"
#include "swav/backend/cuda/codes_kernels.cuh"
#include "swav/backend/cuda/codes_log_kernels.cuh"
#include "swav/backend/cuda/row_tiles.cuh"

namespace swav::detail {

template <class Scalar>
struct WholeCodes {
  using A = Accumulator<Scalar>;
  CodesCall<Scalar> call;
  LogCodes log;
  int iterations;
  int resident_rows;  // of a block, in shared memory
  int block_rows;     // at most
  bool unit_scores;   // entries are in [-1, 1] but for rounding, and the scaling domain holds them
  A* potentials;      // [K]
};

/// g_k += log2(mass_k / the sum of column k over all blocks), in the order of the blocks, from 0 at first; -inf where
/// there is no mass, or so little that no entry of the column is a normal number. A block has a share of the columns,
/// and several threads of it a column. `weight(b)` is what block b's sums are times.
template <class Scalar, class Weight>
__device__ void update_potentials(const WholeCodes<Scalar>& whole, double (&slots)[most_tile_threads], bool at_first,
                                  Weight weight) {
  using A = Accumulator<Scalar>;
  const CodesCall<Scalar>& call = whole.call;
  const A* const partials = reinterpret_cast<const A*>(call.partial_sums);
  const Index cols = call.scores.cols, blocks = gridDim.x;
  const Index first = cols * blockIdx.x / blocks, last = cols * (Index{blockIdx.x} + 1) / blocks;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  int width = warp_threads;  // columns at a time
  while (width > 4 && width / 2 >= last - first) width /= 2;
  const int lane = thread % warp_threads, warp = thread / warp_threads;
  for (Index begin = first; begin < last; begin += width) {
    const Index column = begin + thread % width;
    double sum = 0;
    if (column < last) {
#pragma unroll 8
      for (Index b = thread / width; b < blocks; b += threads / width)
        sum += static_cast<double>(partials[b * cols + column] * weight(b));
    }
    for (int distance = width; distance < warp_threads; distance *= 2) sum += exchange_lanes(sum, distance);
    if (lane < width) slots[warp * width + lane] = sum;
    __syncthreads();
    if (thread < width && column < last) {
      for (int w = 1; w < threads / warp_threads; ++w) sum += slots[w * width + thread];
      const auto mass = static_cast<double>(call.mass(column));
      A& potential = whole.potentials[column];
      potential = mass > 0 && sum > 0 ? (at_first ? A(0) : potential) + static_cast<A>(std::log2(mass / sum))
                                      : -std::numeric_limits<A>::infinity();
    }
    __syncthreads();
  }
}

/// What the scaling domain is not sure to hold.
template <class Scalar>
__noinline__ __device__ void whole_log_codes(const WholeCodes<Scalar>& whole, double maximum) {
  const auto grid = cooperative_groups::this_grid();
  for (int iteration = 1; iteration <= whole.iterations; ++iteration) {
    iterate_log_codes(whole.call, whole.log, maximum, iteration == 1);
    grid.sync();
    add_up_log_columns(whole.call, whole.log, gridDim.x);
    grid.sync();
  }
  finish_log_codes(whole.call, whole.log, maximum);
}

/// sums_i = sum_b exp((s_bk - maximum)/epsilon), maximum that of the block's scores, by one read in which its resident
/// rows are put into its memory; tells the range of the block's scores. A thread's sums are relative to the largest
/// score that it has met.
template <class Tiles, int Items, class Scalar, class A>
__device__ void add_up_and_measure(const CodesCall<Scalar>& call, const Tiles& tiles, A (&sums)[Items]) {
  __shared__ BlockScratch<A, 3> scratch;
  int turn = 0;
  A largest = std::numeric_limits<A>::lowest(), minimum = std::numeric_limits<A>::max(), zero = A(0);
  const auto move = [&](A to) {
    const A factor = scaled_exponential(largest, to, call.scale);
#pragma unroll
    for (int item = 0; item < Items; ++item) sums[item] *= factor;
    largest = to;
  };
  tiles.read([&](int row, const typename Tiles::Tile& tile) {
    A maximum = largest;
    tile.for_each([&](int, int, A value) {
      maximum = value > maximum ? value : maximum;
      minimum = value < minimum ? value : minimum;
      zero += value * A(0);
    });
    if (maximum > largest) move(maximum);
    tile.for_each([&](int r, int item, A value) {
      // Of halves, whose difference is finite; what power_of_2 takes for 0 is beyond the scaling domain.
      if (row + r < tiles.count()) sums[item] += power_of_2((value * A(0.5) - largest * A(0.5)) * (2 * call.scale));
    });
  });
  A found[3] = {largest, -minimum, zero == A(0) ? A(0) : A(1)};
  reduce_block(found, CudaMaximum(), scratch, turn);
  move(found[0]);
  if (threadIdx.x != 0) return;
  call.block_maxima[blockIdx.x] = found[2] == A(0) ? found[0] : std::numeric_limits<A>::quiet_NaN();
  call.block_minima[blockIdx.x] = -found[1];
}

/// q_bk = p_bk / sum_k p_bk for the rows of `out`; `exponential(row of the block, item, score)` is p.
template <class Layout, class Tiles, class Scalar, class Exponential>
__device__ void finish_whole(const CodesCall<Scalar>& call, const Tiles& tiles, Exponential exponential) {
  using A = Accumulator<Scalar>;
  constexpr int rows = Tiles::rows, items = Layout::items;
  __shared__ RowScratch<A, rows> scratch, entropy_scratch;
  __shared__ RowScratch<Place<A>, rows> places_scratch;
  int turn = 0, places_turn = 0, entropy_turn = 0;
  const Index cols = call.scores.cols;
  const Index out_row = call.first_row() - (call.scores.rows - call.out.rows);  // of the block's first row
  const CodesStatistics& statistics = call.statistics;
  tiles.read_again([&](int row, const typename Tiles::Tile& tile) {
    if (out_row + row + rows <= 0) return;
    A codes[rows][items], sums[rows] = {};
    tile.for_each([&](int r, int item, A value) {
      codes[r][item] = exponential(row + r, item, value);
      sums[r] += codes[r][item];
    });
    reduce_rows(sums, CudaAdd(), scratch, turn);
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      const A inverse = reciprocal(sums[r]);
#pragma unroll
      for (int item = 0; item < items; ++item) codes[r][item] *= inverse;
    }
    Place<A> places[rows];
    if (call.hard || statistics.used != nullptr) {
      A entropies[rows] = {};
#pragma unroll
      for (int r = 0; r < rows; ++r) {
        places[r] = {A(-1), 0};
        Layout::for_each(cols, [&](int item, Index column) {
          // As it is stored: which code is the largest is a question of those.
          const A stored = static_cast<A>(static_cast<Scalar>(codes[r][item]));
          if (stored > places[r].value) places[r] = {stored, static_cast<int>(column)};
          if (codes[r][item] >= std::numeric_limits<A>::min())
            entropies[r] -= codes[r][item] * logarithm_of_2(codes[r][item]);
        });
      }
      reduce_rows(places, CudaFirstLargest(), places_scratch, places_turn);
      if (statistics.used != nullptr) {
        reduce_rows(entropies, CudaAdd(), entropy_scratch, entropy_turn);
#pragma unroll
        for (int r = 0; r < rows; ++r)
          if (threadIdx.x == 0 && row + r < tiles.count() && out_row + row + r >= 0) {
            statistics.used[places[r].column] = 1;
            statistics.row_entropies[out_row + row + r] =
                call.hard ? 0 : 0.6931471805599453 * static_cast<double>(entropies[r]);
          }
      }
    }
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      if (row + r >= tiles.count() || out_row + row + r < 0) continue;
      Layout::store(call.out.row(out_row + row + r), cols, [&](int item, Index column) {
        return !call.hard ? codes[r][item] : column == places[r].column ? A(1) : A(0);
      });
    }
  });
}

/// The bytes of a block's references, before its resident rows.
template <class A>
[[nodiscard]] __host__ __device__ constexpr Index whole_references(int rows) {
  return (rows * static_cast<Index>(sizeof(A)) + 15) / 16 * 16;
}

/// By which the row's sum times B becomes 1, to rounding; which reference it is does not matter, but that it be finite.
template <class A>
__device__ void move_reference(A& reference, A product, A scale) {
  constexpr A most = std::numeric_limits<A>::max() / 4;
  const A moved = reference + logarithm_of_2(product) / scale;
  reference = moved <= most ? (moved < -most ? -most : moved) : most;
}

/// All of a call. Raises the fault, and writes nothing, where the scores are not finite or the domain that is asked for
/// does not hold them.
template <class Layout, class Scalar>
__global__ void __launch_bounds__(most_tile_threads, Layout::items * sizeof(Accumulator<Scalar>) <= 32 ? 2 : 1)
    codes_whole(const __grid_constant__ WholeCodes<Scalar> whole) {
  using A = Accumulator<Scalar>;
  using Tiles = RowTiles<Layout, Scalar>;
  using Tile = typename Tiles::Tile;
  constexpr int rows = Tiles::rows, items = Layout::items;
  __shared__ RowScratch<A, rows> scratch;
  __shared__ BlockScratch<A, 3> range_scratch;
  __shared__ double slots[most_tile_threads];
  SWAV_DYNAMIC_SHARED(memory);
  int turn = 0;
  const CodesCall<Scalar>& call = whole.call;
  const auto grid = cooperative_groups::this_grid();
  A* const references = reinterpret_cast<A*>(memory);  // halves of them, of the block's rows
  const Tiles tiles(call.scores, call.first_row(), call.last_row(), memory + whole_references<A>(whole.block_rows),
                    whole.resident_rows);
  A sums[items] = {}, potentials[items] = {};
  // Of halves, whose difference is finite; the scale is at most a quarter of the range.
  const A scale = 2 * call.scale;
  const auto store_sums = [&] {
    Layout::store(call.template partials_of_block<A>(), call.scores.cols, [&](int item, Index) { return sums[item]; });
    grid.sync();
  };

  A reference = A(0);  // halfway between the extremes, and sums are relative to the maximum: rows' sums are in between
  if (whole.unit_scores) {
    tiles.read([&](int row, const Tile& tile) {
      tile.for_each([&](int r, int item, A value) {
        if (row + r < tiles.count()) sums[item] += power_of_2((value * A(0.5) - A(0.5)) * scale);
      });
    });
    store_sums();
    update_potentials(whole, slots, true, [](Index) { return A(1); });
  } else {
    add_up_and_measure(call, tiles, sums);
    store_sums();
    A range[3];
    range_of_blocks(call, Index{gridDim.x}, range, range_scratch);
    const bool reports = blockIdx.x == 0 && threadIdx.x == 0;
    const A maximum = range[0];
    const CodesDomain domain = choose_domain(call, -range[1], maximum, range[2] == A(0), reports);
    if (domain == CodesDomain::none) return;
    if (domain == CodesDomain::log) return whole_log_codes(whole, static_cast<double>(maximum));
    update_potentials(whole, slots, true,
                      [&](Index block) { return scaled_exponential(call.block_maxima[block], maximum, call.scale); });
    reference = maximum * A(0.25) - range[1] * A(0.25);
  }
  for (int row = static_cast<int>(threadIdx.x); row < whole.block_rows; row += static_cast<int>(blockDim.x))
    references[row] = reference;
  const auto exponential = [&](int row, int item, A value) {
    return power_of_2((value * A(0.5) - references[row]) * scale + potentials[item]);
  };
  for (int iteration = 1;; ++iteration) {
    grid.sync();
#pragma unroll
    for (int item = 0; item < items; ++item) potentials[item] = -std::numeric_limits<A>::infinity();
    Layout::load(whole.potentials, call.scores.cols, potentials);
    if (iteration >= whole.iterations) break;
#pragma unroll
    for (int item = 0; item < items; ++item) sums[item] = A(0);
    tiles.read_again([&](int row, const Tile& tile) {
      A plan[rows][items], products[rows] = {};
      tile.for_each([&](int r, int item, A value) {
        plan[r][item] = exponential(row + r, item, value);
        products[r] += plan[r][item];
      });
      reduce_rows(products, CudaAdd(), scratch, turn);
#pragma unroll
      for (int r = 0; r < rows; ++r) {
        const A product = call.samples * products[r];
        const A u = row + r < tiles.count() ? reciprocal(product) : A(0);
#pragma unroll
        for (int item = 0; item < items; ++item) sums[item] += u * plan[r][item];
        if (threadIdx.x == 0) move_reference(references[row + r], product, scale);
      }
    });
    store_sums();
    update_potentials(whole, slots, false, [](Index) { return A(1); });
  }
  finish_whole<Layout>(call, tiles, exponential);
}

}  // namespace swav::detail
