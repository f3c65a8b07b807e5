// The kernels of SwAV's codes in the scaling domain, but for the last (codes_finish_kernels.cuh). In: scores in the
// GPU's memory. Out: the factors of the prototypes. The Gibbs kernel is never stored: each pass reads the scores and
// takes their exponentials again, which the GPU does faster than it reads.
//
// A block has a contiguous share of the rows and keeps, in the registers of its threads, the sums of its columns; those
// of all blocks are added in the order of the blocks, so that a result repeats bit for bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/core/scalar_traits.hpp"

namespace swav::detail {

/// Where a call is computed, decided on the GPU from the scores' range: sums in the accumulator's type, sums in double,
/// potentials in the log domain, or nowhere since the scores are bad.
enum class CodesDomain : int { scaling, wide_scaling, log, none };

template <class A>
struct CodesState {
  A maximum;
  CodesDomain domain;
};

/// What is found out about codes on the way, where it is asked for.
struct CodesStatistics {
  double* row_entropies = nullptr;  ///< [rows of out]
  int* used = nullptr;              ///< [K], set to 1 where a row is largest
};

/// One call. Row b of the kernel is p_bk = exp((s_bk - m_b)/epsilon) = exp2((s_bk - m_b) scale), m_b the row's maximum.
template <class Scalar>
struct CodesCall {
  using A = Accumulator<Scalar>;
  MatrixView<const Scalar> scores;
  MatrixView<Scalar> out;  // of the last rows
  A scale;                 // log2(e)/epsilon
  double epsilon;
  double certain_span, largest_span;  // of scaling and wide_scaling, in units of epsilon
  bool log_only, scaling_only, hard;
  A samples;        // of this process
  const A* masses;  // [K], or null: 1/K each
  // Workspace
  A* row_maxima;                   // [rows]
  A *block_maxima, *block_minima;  // [blocks]; a NaN where a score is not finite
  double* partial_sums;            // [blocks x K], of A where sums are in A
  double* column_sums;             // [K], and in a group the number of its rows
  A* group_range;                  // in a group: its maximum, negated minimum, whether an entry is not finite
  CodesState<A>* state;
  int* faults;
  CodesStatistics statistics;

  __device__ Index first_row() const { return scores.rows * static_cast<Index>(blockIdx.x) / gridDim.x; }
  __device__ Index last_row() const { return scores.rows * (static_cast<Index>(blockIdx.x) + 1) / gridDim.x; }
  /// Of all processes.
  __device__ A all_samples() const {
    return group_range != nullptr ? static_cast<A>(column_sums[scores.cols]) : samples;
  }
  __device__ A mass(Index k) const { return masses != nullptr ? masses[k] : A(1) / static_cast<A>(scores.cols); }
  template <class Sum>
  __device__ Sum factor(Index k) const {
    return static_cast<Sum>(static_cast<double>(mass(k)) / column_sums[k]);
  }
  template <class Sum>
  __device__ Sum* partials_of_block() const {
    return reinterpret_cast<Sum*>(partial_sums) + static_cast<Index>(blockIdx.x) * scores.cols;
  }
};

/// exp2((value - maximum) scale) for any finite value <= maximum: an infinite difference is not multiplied by a scale
/// of 0.
template <class A>
__device__ A scaled_exponential(A value, A maximum, A scale) {
  const A difference = value - maximum, lowest = std::numeric_limits<A>::lowest();
  return std::exp2((difference > lowest ? difference : lowest) * scale);
}

inline constexpr int codes_rows = 2;  // that a block has in flight

/// Reads the scores once: rows' maxima, the block's range, and sum_b exp((s_bk - the block's maximum)/epsilon).
template <class Layout, class Scalar>
__global__ void __launch_bounds__(most_row_threads) codes_first(CodesCall<Scalar> call) {
  using A = Accumulator<Scalar>;
  constexpr int Rows = Layout::Packs > 0 ? codes_rows : 1;
  __shared__ BlockScratch<A, 3 * Rows> scratch;
  int turn = 0;
  const Index cols = call.scores.cols, last = call.last_row();
  A registers[Layout::items] = {};
  A* const memory = call.template partials_of_block<A>();
  const auto sum = [&](int item, Index column) -> A& {
    if constexpr (Layout::Packs > 0)
      return registers[item];
    else
      return memory[column];
  };
  if constexpr (Layout::Packs == 0) Layout::for_each(cols, [&](int, Index column) { memory[column] = A(0); });
  A reference = std::numeric_limits<A>::lowest(), minimum = std::numeric_limits<A>::max();
  bool finite = true;
  for (Index first = call.first_row(); first < last; first += Rows) {
    A values[Rows][Layout::items];
    A found[3 * Rows];  // maxima, negated minima, whether an entry is not finite
    for (int r = 0; r < Rows; ++r) {
      found[r] = found[Rows + r] = std::numeric_limits<A>::lowest();
      found[2 * Rows + r] = A(0);
      if (first + r >= last) continue;
      const Scalar* const row = call.scores.row(first + r);
      Layout::load(row, cols, values[r]);
      Layout::for_each(cols, [&](int item, Index column) {
        const A value = Layout::template entry<Scalar, A>(row, values[r], item, column);
        found[r] = value > found[r] ? value : found[r];
        found[Rows + r] = -value > found[Rows + r] ? -value : found[Rows + r];
        if (!(value * A(0) == A(0))) found[2 * Rows + r] = A(1);
      });
    }
    reduce_block(found, CudaMaximum(), scratch, turn);
    for (int r = 0; r < Rows; ++r) {
      if (first + r >= last) continue;
      if (threadIdx.x == 0) call.row_maxima[first + r] = found[r];
      minimum = -found[Rows + r] < minimum ? -found[Rows + r] : minimum;
      finite = finite && found[2 * Rows + r] == A(0);
      if (found[r] > reference) {
        const A factor = scaled_exponential(reference, found[r], call.scale);
        Layout::for_each(cols, [&](int item, Index column) { sum(item, column) *= factor; });
        reference = found[r];
      }
      const Scalar* const row = call.scores.row(first + r);
      Layout::for_each(cols, [&](int item, Index column) {
        const A value = Layout::template entry<Scalar, A>(row, values[r], item, column);
        sum(item, column) += scaled_exponential(value, reference, call.scale);
      });
    }
  }
  if constexpr (Layout::Packs > 0) Layout::store(memory, cols, [&](int item, Index) { return registers[item]; });
  if (threadIdx.x == 0) {
    call.block_maxima[blockIdx.x] = finite ? reference : std::numeric_limits<A>::quiet_NaN();
    call.block_minima[blockIdx.x] = minimum;
  }
}

/// Where scores of this range are worked with; raises the fault if nowhere.
template <class Scalar, class A>
__device__ CodesDomain choose_domain(const CodesCall<Scalar>& call, A minimum, A maximum, bool finite, bool report) {
  int fault = 0;
  CodesDomain domain = CodesDomain::log;
  const double span = (static_cast<double>(maximum) - static_cast<double>(minimum)) / call.epsilon;
  if (!finite)
    fault = call.group_range != nullptr ? bad_elsewhere : bad_scores;  // codes_range has told of our own
  else if (call.log_only)
    domain = CodesDomain::log;
  else if (span <= call.certain_span)
    domain = CodesDomain::scaling;
  else if (span <= call.largest_span)
    domain = CodesDomain::wide_scaling;
  else if (call.scaling_only)
    fault = bad_span;
  if (fault == 0) return domain;
  if (report) atomicOr(call.faults, fault);
  return CodesDomain::none;
}

/// The range of the scores of all blocks: found[0] the maximum, [1] the negated minimum, [2] 1 where an entry is not
/// finite. By a whole block.
template <class Scalar, class A>
__device__ void range_of_blocks(const CodesCall<Scalar>& call, Index blocks, A (&found)[3],
                                BlockScratch<A, 3>& scratch) {
  int turn = 0;
  found[0] = found[1] = std::numeric_limits<A>::lowest();
  found[2] = A(0);
  for (Index b = threadIdx.x; b < blocks; b += blockDim.x) {
    const A maximum = call.block_maxima[b], minimum = call.block_minima[b];
    found[0] = maximum > found[0] ? maximum : found[0];
    found[1] = -minimum > found[1] ? -minimum : found[1];
    if (maximum != maximum) found[2] = A(1);
  }
  reduce_block(found, CudaMaximum(), scratch, turn);
}

/// In a group, between codes_first and codes_columns: what is then made that of all processes; raises the fault where
/// this process's scores are bad. One block.
template <class Scalar>
__global__ void __launch_bounds__(column_slices* warp_threads) codes_range(CodesCall<Scalar> call, Index blocks) {
  using A = Accumulator<Scalar>;
  __shared__ BlockScratch<A, 3> scratch;
  A found[3];
  range_of_blocks(call, blocks, found, scratch);
  if (threadIdx.x != 0) return;
  for (int i = 0; i < 3; ++i) call.group_range[i] = found[i];
  if (found[2] != A(0)) atomicOr(call.faults, int{bad_scores});
}

/// The sums of the columns over all blocks; after codes_first, which its `first` says, the state of the call as well.
template <class Scalar>
__global__ void __launch_bounds__(column_slices* warp_threads)
    codes_columns(CodesCall<Scalar> call, Index blocks, bool first) {
  using A = Accumulator<Scalar>;
  __shared__ BlockScratch<A, 3> scratch;
  __shared__ double slices[column_slices][warp_threads];
  const int thread = static_cast<int>(threadIdx.x);
  CodesState<A> state;
  if (first) {
    A found[3];
    if (call.group_range == nullptr)
      range_of_blocks(call, blocks, found, scratch);
    else
      for (int i = 0; i < 3; ++i) found[i] = call.group_range[i];
    const bool reports = blockIdx.x == 0 && thread == 0;
    state = {found[0], choose_domain(call, -found[1], found[0], found[2] == A(0), reports)};
    if (reports) *call.state = state;
  } else {
    state = *call.state;
  }
  if (call.group_range != nullptr && blockIdx.x == 0 && thread == 0)
    call.column_sums[call.scores.cols] = static_cast<double>(call.scores.rows);
  if (state.domain == CodesDomain::log || state.domain == CodesDomain::none) return;

  const Index cols = call.scores.cols;
  const bool narrow = first || state.domain == CodesDomain::scaling;
  const auto part = [&](Index b, Index column) {
    const Index at = b * cols + column;
    const double sum =
        narrow ? static_cast<double>(reinterpret_cast<const A*>(call.partial_sums)[at]) : call.partial_sums[at];
    return first ? sum * static_cast<double>(scaled_exponential(call.block_maxima[b], state.maximum, call.scale)) : sum;
  };
  add_up_blocks(blocks, cols, slices, part, [&](Index column, double sum) { call.column_sums[column] = sum; });
}

/// u_b = (1/B)/sum_k p_bk v_k, and the block's part of sum_b u_b p_bk: one read of the scores.
template <class Sum, class Layout, class Scalar>
__device__ void iterate_codes(const CodesCall<Scalar>& call) {
  using A = Accumulator<Scalar>;
  constexpr int Rows = Layout::Packs > 0 ? codes_rows : 1;
  __shared__ BlockScratch<Sum, Rows> scratch;
  int turn = 0;
  const Index cols = call.scores.cols, last = call.last_row();
  Sum registers[Layout::items] = {}, factors[Layout::items];
  const Sum samples = static_cast<Sum>(call.all_samples());
  Sum* const memory = call.template partials_of_block<Sum>();
  Layout::for_each(cols, [&](int item, Index column) {
    if constexpr (Layout::Packs > 0)
      factors[item] = call.template factor<Sum>(column);
    else
      memory[column] = Sum(0);
  });
  for (Index first = call.first_row(); first < last; first += Rows) {
    A values[Rows][Layout::items];
    Sum sums[Rows];
    const auto exponential = [&](int r, int item, Index column) {
      const A value = Layout::template entry<Scalar, A>(call.scores.row(first + r), values[r], item, column);
      return scaled_exponential(value, call.row_maxima[first + r], call.scale);
    };
    for (int r = 0; r < Rows; ++r) {
      sums[r] = Sum(0);
      if (first + r >= last) continue;
      Layout::load(call.scores.row(first + r), cols, values[r]);
      Layout::for_each(cols, [&](int item, Index column) {
        const A p = exponential(r, item, column);
        if constexpr (Layout::Packs > 0) {
          values[r][item] = p;
          sums[r] += static_cast<Sum>(p) * factors[item];
        } else {
          sums[r] += static_cast<Sum>(p) * call.template factor<Sum>(column);
        }
      });
    }
    reduce_block(sums, CudaAdd(), scratch, turn);
    for (int r = 0; r < Rows; ++r) {
      if (first + r >= last) continue;
      const Sum u = Sum(1) / (samples * sums[r]);
      Layout::for_each(cols, [&](int item, Index column) {
        if constexpr (Layout::Packs > 0)
          registers[item] += u * static_cast<Sum>(values[r][item]);
        else
          memory[column] += u * static_cast<Sum>(exponential(r, item, column));
      });
    }
  }
  if constexpr (Layout::Packs > 0) Layout::store(memory, cols, [&](int item, Index) { return registers[item]; });
}

template <class Layout, class Scalar>
__global__ void __launch_bounds__(most_row_threads) codes_iterate(CodesCall<Scalar> call) {
  const CodesDomain domain = call.state->domain;
  if (domain == CodesDomain::scaling)
    iterate_codes<Accumulator<Scalar>, Layout>(call);
  else if (domain == CodesDomain::wide_scaling)
    iterate_codes<double, Layout>(call);
}

}  // namespace swav::detail
