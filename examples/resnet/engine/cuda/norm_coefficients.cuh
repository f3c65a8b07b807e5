// The small per-channel arithmetic of batch norm between its passes, in double. In: partial sums of a pass. Out: sums;
// the next pass's coefficients, parameter gradients, running statistics. engine/batch_norm.cpp has the same on the CPU.
#pragma once

#include <cmath>

#include "engine/cuda/channel_grid.cuh"
#include "engine/norm_parameters.hpp"

namespace swav::resnet::cuda {

/// What one batch norm keeps a channel, in the GPU's memory.
struct NormCoefficients {
  float *mean, *inverse_deviation, *scale, *shift, *a, *b, *c;
  double* sums;  // 3 a channel: what several ranks would add up
};

/// Its parameters there.
struct NormPointers {
  float *weight, *bias, *running_mean, *running_variance, *grad_weight, *grad_bias;
};

inline constexpr int sum_channels = 32, sum_lines = 8;  // of a block of add_partials

/// sums(i, channel) = the sum of partials(block, i, channel) over the blocks, in an order that depends on their number
/// alone. A grid of channels / 32 blocks a sum.
template <int Count>
__global__ void __launch_bounds__(sum_channels* sum_lines)
    add_partials(const float* partials, int row_blocks, Index channels, double* sums) {
  __shared__ double lines[sum_lines][sum_channels];
  const Index groups = (channels + sum_channels - 1) / sum_channels;
  const int lane = static_cast<int>(threadIdx.x) % sum_channels, line = static_cast<int>(threadIdx.x) / sum_channels;
  const Index i = static_cast<Index>(blockIdx.x) / groups;
  const Index channel = static_cast<Index>(blockIdx.x) % groups * sum_channels + lane;
  double sum = 0;
  if (channel < channels)
    for (Index block = line; block < row_blocks; block += sum_lines)
      sum += static_cast<double>(partials[(block * Count + i) * channels + channel]);
  lines[line][lane] = sum;
  __syncthreads();
  if (line != 0 || channel >= channels) return;
  for (int other = 1; other < sum_lines; ++other) sum += lines[other][lane];
  sums[i * channels + channel] = sum;
}

/// The channel of a thread of a kernel that takes one each, or -1.
__device__ inline Index channel_of_thread(Index channels) {
  const Index channel = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  return channel < channels ? channel : -1;
}

__device__ inline void set_affine(const NormPointers& p, const NormCoefficients& c, Index channel, double mean,
                                  double variance) {
  const double inverse = 1.0 / std::sqrt(variance + NormArrays::epsilon);
  const double scale = static_cast<double>(p.weight[channel]) * inverse;
  c.mean[channel] = static_cast<float>(mean);
  c.inverse_deviation[channel] = static_cast<float>(inverse);
  c.scale[channel] = static_cast<float>(scale);
  c.shift[channel] = static_cast<float>(static_cast<double>(p.bias[channel]) - mean * scale);
}

/// Makes sums about the channel's first element in x, of `count` values, sums about 0, which ranks can add up. In
/// double these are as good as the floats that they are of.
template <class T>
__global__ void move_moments(NormCoefficients c, const T* x, Index channels, double count) {
  const Index channel = channel_of_thread(channels);
  if (channel < 0) return;
  const double first = static_cast<double>(static_cast<float>(x[channel])), sum = c.sums[channel];
  c.sums[channel] = sum + count * first;
  c.sums[channels + channel] += first * (2.0 * sum + count * first);
}

/// From sums about the channel's first element in x, or about 0 where x is null: the affine map of this batch, and the
/// running statistics.
template <class T>
__global__ void finish_moments(NormPointers p, NormCoefficients c, const T* x, Index channels, double count) {
  const Index channel = channel_of_thread(channels);
  if (channel < 0) return;
  const double offset = c.sums[channel] / count;
  const double mean = (x != nullptr ? static_cast<double>(static_cast<float>(x[channel])) : 0.0) + offset;
  const double spread = c.sums[channels + channel] / count - offset * offset;
  const double variance = spread > 0.0 ? spread : 0.0;
  set_affine(p, c, channel, mean, variance);
  const auto move = [](float& running, double batch) {
    running =
        static_cast<float>((1.0 - NormArrays::momentum) * static_cast<double>(running) + NormArrays::momentum * batch);
  };
  move(p.running_mean[channel], mean);
  move(p.running_variance[channel], variance * count / (count - 1.0));
}

template <class Running>
__global__ void take_running(NormPointers p, NormCoefficients c, const Running* mean, const Running* variance,
                             Index channels) {
  const Index channel = channel_of_thread(channels);
  if (channel >= 0)
    set_affine(p, c, channel, static_cast<double>(mean[channel]), static_cast<double>(variance[channel]));
}

/// The parameters' gradients, of this rank's images as every other parameter's, from the sums of g and of g (x - mean),
/// which are sums(0, .) and sums(product, .).
template <class Sum>
__global__ void store_gradient(NormPointers p, NormCoefficients c, const Sum* sums, int product, Index channels,
                               bool adds) {
  const Index channel = channel_of_thread(channels);
  if (channel < 0) return;
  const double inverse = static_cast<double>(c.inverse_deviation[channel]);
  const float grad_weight = static_cast<float>(sums[product * channels + channel] * inverse);
  const float grad_bias = static_cast<float>(sums[channel]);
  p.grad_weight[channel] = adds ? p.grad_weight[channel] + grad_weight : grad_weight;
  p.grad_bias[channel] = adds ? p.grad_bias[channel] + grad_bias : grad_bias;
}

/// From the sums of all ranks. With x^ = (x - mean) / s: dx = (gamma / s) (g - mean(g) - x^ mean(g x^)), written as
/// a g + b x + c.
template <class Sum>
__global__ void set_gradient_map(NormPointers p, NormCoefficients c, const Sum* sums, int product, Index channels,
                                 double count) {
  const Index channel = channel_of_thread(channels);
  if (channel < 0) return;
  const double inverse = static_cast<double>(c.inverse_deviation[channel]);
  const double a = static_cast<double>(p.weight[channel]) * inverse;
  const double b = -a * inverse * inverse * sums[product * channels + channel] / count;
  c.a[channel] = static_cast<float>(a);
  c.b[channel] = static_cast<float>(b);
  c.c[channel] = static_cast<float>(-a * sums[channel] / count - b * static_cast<double>(c.mean[channel]));
}

}  // namespace swav::resnet::cuda
