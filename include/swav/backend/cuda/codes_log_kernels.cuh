// The kernels of SwAV's codes in the log domain, for what the scaling domain cannot hold. In: scores in the GPU's
// memory. Out: potentials in units of epsilon, and codes. They do nothing where the call is in another domain, so that
// they can be enqueued before that is known.
#pragma once

#include <cmath>
#include <limits>

#include "swav/backend/cuda/codes_finish_kernels.cuh"
#include "swav/sinkhorn/exponents.hpp"

namespace swav::detail {

/// A call's potentials; all sums are in double.
struct LogCodes {
  double* row_potentials;                // [rows], f
  double* column_potentials;             // [K], g
  LogSum<double>* partials;              // [blocks x K]
  double *own_largest, *largest, *sums;  // [K], in a group: this process's exponents, the group's, and its sums
};

/// x = (s - max S)/epsilon, kept so far inside the range that sums of it with potentials stay finite.
template <class Scalar>
__device__ double score_exponent(const CodesCall<Scalar>& call, double maximum, Index row, Index column) {
  constexpr double lowest = std::numeric_limits<double>::lowest() / 16;
  const double score = static_cast<double>(static_cast<Accumulator<Scalar>>(call.scores(row, column)));
  const double exponent = (score - maximum) * inverse_of(call.epsilon);
  return exponent > lowest ? exponent : lowest;
}

/// sum_k exp(exponent(k)), the same in each thread of the block.
template <class Exponent>
__device__ LogSum<double> log_sum_of_row(Index cols, Exponent exponent, BlockScratch<double, 1>& scratch, int& turn) {
  double largest[1] = {-std::numeric_limits<double>::infinity()}, sum[1] = {0};
  for (Index k = threadIdx.x; k < cols; k += blockDim.x) {
    const double found = exponent(k);
    if (found > largest[0]) largest[0] = found;
  }
  reduce_block(largest, CudaMaximum(), scratch, turn);
  for (Index k = threadIdx.x; k < cols; k += blockDim.x) sum[0] += std::exp(exponent(k) - largest[0]);
  reduce_block(sum, CudaAdd(), scratch, turn);
  return {largest[0], sum[0]};
}

__device__ inline void add_exponential(LogSum<double>& to, double largest, double sum) {
  if (sum == 0) return;
  if (to.sum == 0) {
    to = {largest, sum};
  } else if (largest > to.largest) {
    to = {largest, to.sum * std::exp(to.largest - largest) + sum};
  } else {
    to.sum += sum * std::exp(largest - to.largest);
  }
}

/// With `maximum` that of the scores: f_b = -log B - logsumexp_k(x_bk + g_k), or 0 at first, and the block's part of
/// sum_b exp(x_bk + f_b).
template <class Scalar>
__device__ void iterate_log_codes(const CodesCall<Scalar>& call, const LogCodes& log, double maximum, bool first) {
  __shared__ BlockScratch<double, 1> scratch;
  int turn = 0;
  const Index cols = call.scores.cols, begin = call.first_row(), end = call.last_row();
  for (Index row = begin; row < end; ++row) {
    double potential = 0;
    if (!first) {
      const auto exponent = [&](Index k) { return score_exponent(call, maximum, row, k) + log.column_potentials[k]; };
      const LogSum<double> found = log_sum_of_row(cols, exponent, scratch, turn);
      potential = -std::log(static_cast<double>(call.all_samples())) - (found.largest + std::log(found.sum));
    }
    if (threadIdx.x == 0) log.row_potentials[row] = potential;
  }
  __syncthreads();
  for (Index k = threadIdx.x; k < cols; k += blockDim.x) {
    LogSum<double> sum{0, 0};
    for (Index row = begin; row < end; ++row)
      add_exponential(sum, score_exponent(call, maximum, row, k) + log.row_potentials[row], 1);
    log.partials[static_cast<Index>(blockIdx.x) * cols + k] = sum;
  }
}

template <class Scalar>
__global__ void __launch_bounds__(most_row_threads)
    codes_log_iterate(CodesCall<Scalar> call, LogCodes log, bool first) {
  if (call.state->domain == CodesDomain::log)
    iterate_log_codes(call, log, static_cast<double>(call.state->maximum), first);
}

/// g_k = log mass_k - log of column k's sum; in a group the sum and its exponent.
template <class Scalar>
__device__ void add_up_log_columns(const CodesCall<Scalar>& call, const LogCodes& log, Index blocks) {
  const Index cols = call.scores.cols, threads = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index k = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; k < cols; k += threads) {
    LogSum<double> sum{0, 0};
    for (Index b = 0; b < blocks; ++b) {
      const LogSum<double> part = log.partials[b * cols + k];
      add_exponential(sum, part.largest, part.sum);
    }
    if (call.group_range == nullptr) {
      log.column_potentials[k] = std::log(static_cast<double>(call.mass(k))) - (sum.largest + std::log(sum.sum));
      continue;
    }
    log.own_largest[k] = log.largest[k] = sum.sum == 0 ? std::numeric_limits<double>::lowest() : sum.largest;
    log.sums[k] = sum.sum;
  }
}

template <class Scalar>
__global__ void __launch_bounds__(most_row_threads)
    codes_log_columns(CodesCall<Scalar> call, LogCodes log, Index blocks) {
  if (call.state->domain == CodesDomain::log) add_up_log_columns(call, log, blocks);
}

/// In a group, once `largest` is that of all processes: sums relative to it.
template <class Scalar>
__global__ void __launch_bounds__(most_row_threads) codes_log_align(CodesCall<Scalar> call, LogCodes log) {
  if (call.state->domain != CodesDomain::log) return;
  const Index k = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k < call.scores.cols) log.sums[k] *= std::exp(log.own_largest[k] - log.largest[k]);
}

/// In a group, once the sums are those of all processes: g_k.
template <class Scalar>
__global__ void __launch_bounds__(most_row_threads) codes_log_potentials(CodesCall<Scalar> call, LogCodes log) {
  if (call.state->domain != CodesDomain::log) return;
  const Index k = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k < call.scores.cols)
    log.column_potentials[k] = std::log(static_cast<double>(call.mass(k))) - (log.largest[k] + std::log(log.sums[k]));
}

/// q_bk = softmax_k(x_bk + g_k) for the rows of `out`.
template <class Scalar>
__device__ void finish_log_codes(const CodesCall<Scalar>& call, const LogCodes& log, double maximum) {
  __shared__ BlockScratch<double, 1> scratch;
  __shared__ BlockScratch<Place<double>, 1> places;
  int turn = 0;
  const Index cols = call.scores.cols, skipped = call.scores.rows - call.out.rows;
  for (Index row = blockIdx.x; row < call.out.rows; row += gridDim.x) {
    const auto exponent = [&](Index k) {
      return score_exponent(call, maximum, skipped + row, k) + log.column_potentials[k];
    };
    const LogSum<double> found = log_sum_of_row(cols, exponent, scratch, turn);
    const double inverse = 1 / found.sum;
    const auto code = [&](int, Index k) { return std::exp(exponent(k) - found.largest) * inverse; };
    store_codes<RowLayout<1, 0>, double>(call, row, code, scratch, places, turn);
  }
}

template <class Scalar>
__global__ void __launch_bounds__(most_row_threads) codes_log_finish(CodesCall<Scalar> call, LogCodes log) {
  if (call.state->domain == CodesDomain::log) finish_log_codes(call, log, static_cast<double>(call.state->maximum));
}

}  // namespace swav::detail
