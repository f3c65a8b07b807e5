// The kernels of an optimiser's step over all of its parameters: squares, then the update. In: a table of tensors and
// of their blocks in the GPU's memory. Out: updated values and moments. The step's number is counted there, too.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/core/scalar_traits.hpp"
#include "swav/optim/passes.hpp"

namespace swav::detail {

inline constexpr int optim_threads = 256;

template <class Scalar, class Gradient>
struct OptimTensor {
  using T = Accumulator<Scalar>;
  static constexpr int Width = 16 / static_cast<int>(sizeof(T) > sizeof(Scalar) ? sizeof(T) : sizeof(Scalar));
  Scalar* value;
  const Gradient* gradient;
  Gradient* rounded;  // or null
  T *first, *second;  // moments; SGD has no second
  Index first_block, blocks, frozen_steps;
  bool decays, adapts, packed;  // packed: all are read Width elements at a time
};

struct OptimState {
  Index steps;    // taken before this one; read by the first kernel, written by the second
  Index current;  // the same, written by the first, read by the second
  double rate;
};

template <class Scalar, class Gradient>
struct OptimCall {
  const OptimTensor<Scalar, Gradient>* tensors;
  const ParameterBlock* blocks;
  Index block_count;
  double *value_sums, *gradient_sums;  // [blocks]
  OptimState* state;
  StepRate rate;
  bool with_values;
  int* faults;
  double* norm;
};

/// body(Width or 1, element) for the block's elements of this thread.
template <int Width, class Body>
__device__ void for_block_elements(const ParameterBlock& block, bool packed, Body body) {
  const auto thread = static_cast<Index>(threadIdx.x), threads = static_cast<Index>(blockDim.x);
  const Index whole = packed ? block.count / Width * Width : 0;
  for (Index i = thread * Width; i < whole; i += threads * Width)
    body(std::integral_constant<int, Width>(), block.first + i);
  for (Index i = whole + thread; i < block.count; i += threads) body(std::integral_constant<int, 1>(), block.first + i);
}

template <int Width, class T>
__device__ Pack<T, Width> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, Width>*>(from);
}
template <int Width, class T>
__device__ void store_pack(T* to, const Pack<T, Width>& pack) {
  *reinterpret_cast<Pack<T, Width>*>(to) = pack;
}

/// Each block's sums of squares, in double; a sum that is not finite raises the fault. Frozen parameters have none.
template <class Scalar, class Gradient>
__global__ void __launch_bounds__(optim_threads) sum_optim_squares(OptimCall<Scalar, Gradient> call) {
  using Tensor = OptimTensor<Scalar, Gradient>;
  using T = Accumulator<Scalar>;
  __shared__ BlockScratch<double, 2> scratch;
  int turn = 0;
  const ParameterBlock block = call.blocks[blockIdx.x];
  const Tensor& tensor = call.tensors[block.parameter];
  const Index steps = call.state->steps;
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    const double rate = call.rate.in_memory != nullptr ? *call.rate.in_memory : call.rate.value;
    if (!(rate >= 0 && rate <= std::numeric_limits<double>::max())) atomicOr(call.faults, int{bad_rate});
    call.state->rate = rate;
    call.state->current = steps;
  }
  double sums[2] = {0, 0};
  if (steps >= tensor.frozen_steps)
    for_block_elements<Tensor::Width>(block, tensor.packed, [&](auto width, Index i) {
      constexpr int W = decltype(width)::value;
      const auto gradients = load_pack<W>(tensor.gradient + i);
      for (int w = 0; w < W; ++w) {
        const double g = static_cast<double>(static_cast<Accumulator<Gradient>>(gradients.entries[w]));
        sums[0] += g * g;
      }
      if (!call.with_values) return;
      const auto values = load_pack<W>(tensor.value + i);
      for (int w = 0; w < W; ++w) {
        const double v = static_cast<double>(static_cast<T>(values.entries[w]));
        sums[1] += v * v;
      }
    });
  reduce_block(sums, CudaAdd(), scratch, turn);
  if (threadIdx.x != 0) return;
  call.gradient_sums[blockIdx.x] = sums[0];
  call.value_sums[blockIdx.x] = sums[1];
  if (!(sums[0] + sums[1] <= std::numeric_limits<double>::max())) atomicOr(call.faults, int{bad_gradients});
}

/// The sums of blocks first .. first + count, gradients' and values', in each thread.
template <class Call>
__device__ void add_block_sums(const Call& call, Index first, Index count, double (&sums)[2],
                               BlockScratch<double, 2>& scratch, int& turn) {
  sums[0] = sums[1] = 0;
  for (Index b = threadIdx.x; b < count; b += blockDim.x) {
    sums[0] += call.gradient_sums[first + b];
    sums[1] += call.value_sums[first + b];
  }
  reduce_block(sums, CudaAdd(), scratch, turn);
}

/// What the first block does for the whole step: the gradient's norm, and the count.
template <class Call>
__device__ void finish_step(const Call& call, BlockScratch<double, 2>& scratch, int& turn) {
  if (blockIdx.x != 0) return;
  double sums[2];
  add_block_sums(call, 0, call.block_count, sums, scratch, turn);
  if (threadIdx.x != 0) return;
  *call.norm = std::sqrt(sums[0]);
  call.state->steps = call.state->current + 1;
}

template <class Scalar, class Gradient>
__global__ void __launch_bounds__(optim_threads)
    update_by_sgd(OptimCall<Scalar, Gradient> call, SgdRates rates, double momentum) {
  using Tensor = OptimTensor<Scalar, Gradient>;
  using T = Accumulator<Scalar>;
  __shared__ BlockScratch<double, 2> scratch;
  int turn = 0;
  if (*call.faults != 0) return;
  finish_step(call, scratch, turn);
  const ParameterBlock block = call.blocks[blockIdx.x];
  const Tensor& tensor = call.tensors[block.parameter];
  if (call.state->current < tensor.frozen_steps) return;
  double sums[2] = {0, 0};
  if (rates.adaptation != SgdRates::Adaptation::none)
    add_block_sums(call, tensor.first_block, tensor.blocks, sums, scratch, turn);
  const double learning_rate = call.state->rate;
  const UpdateRule rule =
      sgd_rule(rates, tensor.decays, tensor.adapts, learning_rate, std::sqrt(sums[1]), std::sqrt(sums[0]));
  const T keep = static_cast<T>(momentum), scale = static_cast<T>(rule.gradient_scale),
          decay = static_cast<T>(rule.weight_decay),
          rate = rates.adaptation == SgdRates::Adaptation::lars ? T(1) : static_cast<T>(learning_rate);
  for_block_elements<Tensor::Width>(block, tensor.packed, [&](auto width, Index i) {
    constexpr int W = decltype(width)::value;
    auto values = load_pack<W>(tensor.value + i);
    auto moments = load_pack<W>(tensor.first + i);
    const auto gradients = load_pack<W>(tensor.gradient + i);
    Pack<Gradient, W> rounded;
    for (int w = 0; w < W; ++w) {
      const T old = static_cast<T>(values.entries[w]),
              gradient = static_cast<T>(static_cast<Accumulator<Gradient>>(gradients.entries[w]));
      moments.entries[w] = keep * moments.entries[w] + scale * (gradient + decay * old);
      const T value = old - rate * moments.entries[w];
      values.entries[w] = static_cast<Scalar>(value);
      rounded.entries[w] = static_cast<Gradient>(static_cast<Accumulator<Gradient>>(value));
    }
    store_pack(tensor.value + i, values);
    store_pack(tensor.first + i, moments);
    if (tensor.rounded != nullptr) store_pack(tensor.rounded + i, rounded);
  });
}

template <class Scalar, class Gradient>
__global__ void __launch_bounds__(optim_threads)
    update_by_adamw(OptimCall<Scalar, Gradient> call, AdamDecay decay, double weight_decay) {
  using Tensor = OptimTensor<Scalar, Gradient>;
  using T = Accumulator<Scalar>;
  __shared__ BlockScratch<double, 2> scratch;
  __shared__ double shared_rule[2];
  int turn = 0;
  if (*call.faults != 0) return;
  finish_step(call, scratch, turn);
  const ParameterBlock block = call.blocks[blockIdx.x];
  const Tensor& tensor = call.tensors[block.parameter];
  const Index steps = call.state->current;
  if (steps < tensor.frozen_steps) return;
  const double learning_rate = call.state->rate;
  const double weight_decay_here = tensor.decays ? weight_decay : 0.0;
  if (threadIdx.x == 0) {  // powers take long
    const UpdateRule rule =
        adamw_rule(decay, weight_decay_here, learning_rate, static_cast<double>(steps - tensor.frozen_steps + 1));
    shared_rule[0] = rule.step_size;
    shared_rule[1] = rule.root_correction;
  }
  __syncthreads();
  const T keep_first = static_cast<T>(decay.first), take_first = static_cast<T>(1 - decay.first);
  const T keep_second = static_cast<T>(decay.second), take_second = static_cast<T>(1 - decay.second);
  const T epsilon = static_cast<T>(decay.epsilon), step_size = static_cast<T>(shared_rule[0]),
          correction = static_cast<T>(1 / shared_rule[1]),
          shrink = static_cast<T>(1 - learning_rate * weight_decay_here);
  for_block_elements<Tensor::Width>(block, tensor.packed, [&](auto width, Index i) {
    constexpr int W = decltype(width)::value;
    auto values = load_pack<W>(tensor.value + i);
    auto means = load_pack<W>(tensor.first + i), squares = load_pack<W>(tensor.second + i);
    const auto gradients = load_pack<W>(tensor.gradient + i);
    Pack<Gradient, W> rounded;
    for (int w = 0; w < W; ++w) {
      const T gradient = static_cast<T>(static_cast<Accumulator<Gradient>>(gradients.entries[w]));
      means.entries[w] = keep_first * means.entries[w] + take_first * gradient;
      squares.entries[w] = keep_second * squares.entries[w] + take_second * gradient * gradient;
      const T root = std::sqrt(squares.entries[w]) * correction;
      const T value = static_cast<T>(values.entries[w]) * shrink - step_size * means.entries[w] / (root + epsilon);
      values.entries[w] = static_cast<Scalar>(value);
      rounded.entries[w] = static_cast<Gradient>(static_cast<Accumulator<Gradient>>(value));
    }
    store_pack(tensor.value + i, values);
    store_pack(tensor.first + i, means);
    store_pack(tensor.second + i, squares);
    if (tensor.rounded != nullptr) store_pack(tensor.rounded + i, rounded);
  });
}

}  // namespace swav::detail
