// The softmax of rows of halves, as it is made while their scores are (sweep.cuh). In: embeddings and prototypes. Out:
// exponentials of the scores that are not yet divided by their sums, and the sums.
//
// Nothing is read twice to find the largest score of a row first: by Cauchy and Schwarz, none is above the product of
// its length and that of the longest prototype. Where a half's range does not reach from there to the least score that
// this allows, as it does for unit rows at temperatures from 0.1 on, a sweep of its own finds the largest.
#pragma once

#include <cmath>

#include "swav/backend/cuda/approximate_math.cuh"
#include "swav/backend/cuda/loss_kernels.cuh"
#include "swav/backend/cuda/row_kernels.cuh"
#include "swav/backend/cuda/sweep.cuh"

namespace swav::detail {

/// Exponentials are stored times 2^15, so that the largest, 1, has room above it for rounding. The least normal half is
/// 2^-14, and half a power of two below it is still right to 2^-11.
inline constexpr float exponential_power = 15.f, half_range = 29.5f;

/// What rows of z are multiplied by, beside n_v/sum, before the product with the exponentials: the power that keeps
/// them where halves are normal. An entry is not made larger than 2^15 if |z| <= 1, nor than z's own else: sums are at
/// least 2^15, or K 2^(15 - half_range) where the bound is used.
[[nodiscard]] inline float softmax_weight_scale(Index prototypes, int most_predictions) {
  const float least_sum = static_cast<float>(prototypes) * std::exp2(exponential_power - half_range);
  return std::exp2(exponential_power) * std::fmin(least_sum, 1.f) / static_cast<float>(most_predictions);
}

/// Rows of halves, with their lengths where these are not known to be at most 1, else null.
struct HalfRows {
  MatrixView<const __half> unit;
  const float* lengths;

  __device__ float length(Index r) const { return lengths == nullptr ? 1.f : lengths[r]; }
};

/// shifts_r: what is taken from the scores of row r before their exponentials, with which none leaves a half's range
/// upward, nor downward unless it is nothing beside the row's largest. `scale` is log2(e)/tau.
template <class Shape>
__global__ void __launch_bounds__(Shape::threads, Shape::blocks)
    bound_rows(HalfRows z, HalfRows c, float scale, float* shifts) {
  __shared__ BlockScratch<float, 1> scratch;
  int turn = 0;
  float longest[1] = {c.lengths == nullptr ? 1.f : 0.f};
  if (c.lengths != nullptr)
    for (Index k = threadIdx.x; k < c.unit.rows; k += blockDim.x)
      longest[0] = c.lengths[k] > longest[0] ? c.lengths[k] : longest[0];
  reduce_block(longest, CudaMaximum(), scratch, turn);
  // A long row has to be divided by a larger sum, or it would not fit a half (softmax_weight_scale).
  const auto bound_suffices = [&](Index r) {
    const float length = z.length(r);
    return 2 * length * longest[0] * scale + std::log2(length > 1.f ? length : 1.f) <= half_range;
  };
  const Index first_row = static_cast<Index>(blockIdx.x) * Shape::rows,
              own = first_row + static_cast<Index>(threadIdx.x);
  float needs_largest[1] = {0.f};
  if (static_cast<int>(threadIdx.x) < Shape::rows && own < z.unit.rows) {
    if (bound_suffices(own))
      shifts[own] = z.length(own) * longest[0];
    else
      needs_largest[0] = 1.f;
  }
  reduce_block(needs_largest, CudaMaximum(), scratch, turn);
  if (needs_largest[0] == 0.f) return;

  float largest[Shape::places];
  for (float& value : largest) value = std::numeric_limits<float>::lowest();
  const auto stages = static_cast<int>((c.unit.rows + Shape::stage - 1) / Shape::stage);
  sweep<Shape>(z.unit, c.unit, first_row, 0, stages, [&](int place, const float(&scores)[Shape::width], int) {
#pragma unroll
    for (int i = 0; i < Shape::width; ++i) largest[place] = scores[i] > largest[place] ? scores[i] : largest[place];
  });
#pragma unroll
  for (int place = 0; place < Shape::places; ++place) {
    for (int distance = 1; distance < 4; distance *= 2)
      largest[place] = CudaMaximum()(largest[place], __shfl_xor_sync(~0u, largest[place], distance));
    const Index row = first_row + Shape::row(place);
    if (Shape::lane() % 4 == 0 && row < z.unit.rows && !bound_suffices(row)) shifts[row] = largest[place];
  }
}

/// exponentials_rk = exp((z_r . c_k - shift_r)/tau) 2^15, 0 from c's last row to the stride's end, unless there is no
/// memory for them; and `splits` partial sums of each row, [splits][rows], of consecutive stages of c. The block is one
/// of tiles of rows times `splits`.
template <class Shape>
__global__ void __launch_bounds__(Shape::threads, Shape::blocks)
    exponentiate_rows(MatrixView<const __half> z, MatrixView<const __half> c, float scale, const float* shifts,
                      MatrixView<__half> exponentials, int splits, float* partial_sums) {
  const auto row_tiles = static_cast<int>((z.rows + Shape::rows - 1) / Shape::rows);
  const int tile = static_cast<int>(blockIdx.x) % row_tiles, split = static_cast<int>(blockIdx.x) / row_tiles;
  const auto stages = static_cast<int>((c.rows + Shape::stage - 1) / Shape::stage);
  const Index first_row = static_cast<Index>(tile) * Shape::rows;
  // Of the thread's rows, place p is that of place 0 and 8 p.
  const Index thread_row = first_row + Shape::row(0);
  const auto rows = static_cast<int>(z.rows - thread_row);
  float row_shifts[Shape::places], sums[Shape::places];
#pragma unroll
  for (int place = 0; place < Shape::places; ++place) {
    row_shifts[place] = 8 * place < rows ? shifts[thread_row + 8 * place] : 0.f;
    sums[place] = 0.f;
  }
  const int first = stages * split / splits, last = stages * (split + 1) / splits;
  __half* const thread_memory = exponentials.row(thread_row);
  const auto stride = static_cast<unsigned>(exponentials.stride);
  const int stored = exponentials.data == nullptr ? 0 : static_cast<int>(stride);
  sweep<Shape>(z, c, first_row, first, last, [&](int place, const float(&scores)[Shape::width], int column) {
    float e[Shape::width];
#pragma unroll
    for (int i = 0; i < Shape::width; ++i)  // a difference of 0 stays it, whatever the scale
      e[i] = power_of_2((scores[i] - row_shifts[place]) * scale + exponential_power);
    sums[place] += e[0] + e[1] + (e[2] + e[3]);
    store_words(thread_memory + (8 * place * stride + column), pack_halves(e[0], e[1]), pack_halves(e[2], e[3]),
                column < stored && 8 * place < rows);
  });
#pragma unroll
  for (int place = 0; place < Shape::places; ++place) {
    for (int distance = 1; distance < 4; distance *= 2) sums[place] += __shfl_xor_sync(~0u, sums[place], distance);
    if (Shape::lane() % 4 == 0 && 8 * place < rows) partial_sums[split * z.rows + thread_row + 8 * place] = sums[place];
  }
}

/// Of the rows of z, the call's from `first` on: the log-sum-exp of their scores over tau, added to what is there where
/// a later head `adds`; the sums; n_v/sum times the rows themselves and `weight_scale`. Where it adds, the gradient so
/// far, sum times that of the heads before, is made this sum times it.
template <class Product>
__global__ void __launch_bounds__(row_block_threads)
    weigh_rows(LossCall<float> call, MatrixView<const Product> z, Index first, const float* partial_sums, int splits,
               const float* shifts, float weight_scale, bool adds, double* log_sums, float* row_sums,
               MatrixView<float> gradient, MatrixView<Product> weighted) {
  const Index r = warp_row();
  if (r >= z.rows) return;
  const float sum = sum_of_row<float>(splits, [&](Index split) { return partial_sums[split * z.rows + r]; });
  if (warp_lane() == 0) {
    const double log_sum = static_cast<double>(shifts[r]) * static_cast<double>(call.inverse_temperature) +
                           std::log(static_cast<double>(sum)) - 0.6931471805599453 * exponential_power;
    log_sums[first + r] = adds ? log_sums[first + r] + log_sum : log_sum;
    if (!(std::abs(log_sum) <= std::numeric_limits<float>::max())) atomicOr(call.faults, int{bad_embeddings});
  }
  if (weighted.data == nullptr) return;
  if (adds) {
    const float ratio = sum / row_sums[first + r];
    for (Index d = warp_lane(); d < z.cols; d += warp_threads) gradient(r, d) *= ratio;
    __syncwarp();
  }
  if (warp_lane() == 0) row_sums[first + r] = sum;
  const float weight = weight_scale * static_cast<float>(call.predictions((first + r) / call.samples)) / sum;
  for (Index d = warp_lane(); d < z.cols; d += warp_threads)
    weighted(r, d) = static_cast<Product>(weight * static_cast<float>(z(r, d)));
}

}  // namespace swav::detail
