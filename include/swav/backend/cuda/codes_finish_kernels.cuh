// How codes are written on the GPU: from scores and factors, hard where that is asked for, with what is to be known of
// them. In: scores, the factors of the prototypes. Out: codes, their entropies, which prototypes are used.
#pragma once

#include <cmath>
#include <limits>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/codes_kernels.cuh"
#include "swav/core/scalar_traits.hpp"

namespace swav::detail {

/// The column where a row of codes is largest, the first if there are several; the same in each thread of the block.
template <class Layout, class Sum, class Value>
__device__ Index largest_column(Index cols, Value value, BlockScratch<Place<Sum>, 1>& places, int& turn) {
  Place<Sum> largest[1] = {{std::numeric_limits<Sum>::lowest(), 0}};
  Layout::for_each(cols, [&](int item, Index column) {
    const Sum found = static_cast<Sum>(value(item, column));
    if (found > largest[0].value) largest[0] = {found, static_cast<int>(column)};
  });
  reduce_block(largest, CudaFirstLargest(), places, turn);
  return largest[0].column;
}

/// What is asked to be known of a row of codes: `code(item, column)`, and as they are `stored(item, column)`. Returns
/// the column of the largest.
template <class Layout, class Sum, class Code, class Stored>
__device__ Index note_codes(const CodesStatistics& statistics, Index row, Index cols, Code code, Stored stored,
                            BlockScratch<Sum, 1>& scratch, BlockScratch<Place<Sum>, 1>& places, int& turn) {
  const Index largest = largest_column<Layout, Sum>(cols, stored, places, turn);
  if (statistics.used == nullptr) return largest;
  Sum entropy[1] = {Sum(0)};
  Layout::for_each(cols, [&](int item, Index column) {
    const auto q = static_cast<Sum>(code(item, column));
    if (q > Sum(0)) entropy[0] -= q * std::log(q);
  });
  reduce_block(entropy, CudaAdd(), scratch, turn);
  if (threadIdx.x == 0) {
    statistics.used[largest] = 1;
    statistics.row_entropies[row] = static_cast<double>(entropy[0]);
  }
  return largest;
}

/// Writes a row of codes `code(item, column)`, made hard where that is asked for, and what is asked to be known of it.
template <class Layout, class Sum, class Scalar, class Code>
__device__ void store_codes(const CodesCall<Scalar>& call, Index row, Code code, BlockScratch<Sum, 1>& scratch,
                            BlockScratch<Place<Sum>, 1>& places, int& turn) {
  using A = Accumulator<Scalar>;
  const Index cols = call.scores.cols;
  Scalar* const out = call.out.row(row);
  if (call.hard || call.statistics.used != nullptr) {
    // As it is stored: which code is the largest is a question of those.
    const auto stored = [&](int item, Index column) {
      return static_cast<A>(static_cast<Scalar>(static_cast<A>(code(item, column))));
    };
    const Index largest = note_codes<Layout, Sum>(call.statistics, row, cols, code, stored, scratch, places, turn);
    if (call.hard) {
      if (call.statistics.used != nullptr && threadIdx.x == 0) call.statistics.row_entropies[row] = 0;
      Layout::store(out, cols, [&](int, Index column) { return column == largest ? A(1) : A(0); });
      return;
    }
  }
  Layout::store(out, cols, [&](int item, Index column) { return static_cast<A>(code(item, column)); });
}

/// q_bk = p_bk v_k / sum_k p_bk v_k for the rows of `out`: one read of the scores, one write.
template <class Sum, class Layout, class Scalar>
__device__ void finish_codes(const CodesCall<Scalar>& call) {
  using A = Accumulator<Scalar>;
  __shared__ BlockScratch<Sum, 1> scratch;
  __shared__ BlockScratch<Place<Sum>, 1> places;
  int turn = 0;
  const Index cols = call.scores.cols, skipped = call.scores.rows - call.out.rows;
  Sum factors[Layout::items];
  if constexpr (Layout::Packs > 0)
    Layout::for_each(cols, [&](int item, Index column) { factors[item] = call.template factor<Sum>(column); });
  for (Index row = blockIdx.x; row < call.out.rows; row += gridDim.x) {
    const Scalar* const scores = call.scores.row(skipped + row);
    const A maximum = call.row_maxima[skipped + row];
    A values[Layout::items];
    Layout::load(scores, cols, values);
    const auto product = [&](int item, Index column) {
      const A value = Layout::template entry<Scalar, A>(scores, values, item, column);
      const Sum p = static_cast<Sum>(scaled_exponential(value, maximum, call.scale));
      if constexpr (Layout::Packs > 0)
        return p * factors[item];
      else
        return p * call.template factor<Sum>(column);
    };
    Sum sum[1] = {Sum(0)}, products[Layout::items];
    Layout::for_each(cols, [&](int item, Index column) {
      products[item] = product(item, column);
      sum[0] += products[item];
    });
    reduce_block(sum, CudaAdd(), scratch, turn);
    const Sum inverse = Sum(1) / sum[0];
    const auto code = [&](int item, Index column) {
      if constexpr (Layout::Packs > 0)
        return products[item] * inverse;
      else
        return product(item, column) * inverse;
    };
    store_codes<Layout, Sum>(call, row, code, scratch, places, turn);
  }
}

template <class Layout, class Scalar>
__global__ void __launch_bounds__(most_row_threads) codes_finish(CodesCall<Scalar> call) {
  const CodesDomain domain = call.state->domain;
  if (domain == CodesDomain::scaling)
    finish_codes<Accumulator<Scalar>, Layout>(call);
  else if (domain == CodesDomain::wide_scaling)
    finish_codes<double, Layout>(call);
}

}  // namespace swav::detail
