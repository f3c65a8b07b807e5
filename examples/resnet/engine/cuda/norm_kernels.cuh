// The kernels of batch norm, fused with what surrounds it in a residual network, as engine/norm_passes.hpp has it on
// the CPU: all they do is move memory. In: activations in NHWC. Out: sums a channel, activations, gradients.
#pragma once

#include "engine/cuda/channel_grid.cuh"

namespace swav::resnet::cuda {

/// y = scale x + shift a channel; scale == nullptr: y = x.
struct Affine {
  const float* scale = nullptr;
  const float* shift = nullptr;
};

/// Per-channel coefficients of a thread's pack, 1 and 0 where there are none.
template <int Width>
struct AffinePack {
  float scale[Width], shift[Width];
  __device__ AffinePack(const Affine& affine, Index channel) {
    for (int w = 0; w < Width; ++w) {
      scale[w] = affine.scale != nullptr ? affine.scale[channel + w] : 1.0f;
      shift[w] = affine.scale != nullptr ? affine.shift[channel + w] : 0.0f;
    }
  }
  __device__ float operator()(float x, int w) const { return scale[w] * x + shift[w]; }
};

/// Sums of x - x_0 and of its square, x_0 being the channel's first element: a mean much larger than the spread costs
/// no digits. partials: row blocks x 2 x channels.
template <class T, int Width>
__global__ void __launch_bounds__(grid_threads) sum_moments(ChannelGrid grid, const T* x, float* partials) {
  const ChannelPlace place = channel_place<Width>(grid);
  float sums[2][Width] = {};
  if (place.has_channels) {
    float first[Width], values[Width];
    load_pack(x + place.channel, first);
#pragma unroll 4
    for (Index r = place.first_row; r < grid.rows; r += place.row_step) {
      load_pack(x + r * grid.channels + place.channel, values);
      for (int w = 0; w < Width; ++w) {
        const float value = values[w] - first[w];
        sums[0][w] += value;
        sums[1][w] += value * value;
      }
    }
  }
  store_partials(grid, sums, partials);
}

struct Activation {
  const void* x;
  Affine affine;
};

/// y = max(0, affine(x) [+ shortcut]); y may be either.
template <class T, int Width>
__global__ void __launch_bounds__(grid_threads)
    normalize_relu(ChannelGrid grid, Activation in, Activation shortcut, T* y) {
  const ChannelPlace place = channel_place<Width>(grid);
  if (!place.has_channels) return;
  const AffinePack<Width> affine(in.affine, place.channel), beside(shortcut.affine, place.channel);
  const T *const x = static_cast<const T*>(in.x), *const added = static_cast<const T*>(shortcut.x);
#pragma unroll 2
  for (Index r = place.first_row; r < grid.rows; r += place.row_step) {
    const Index at = r * grid.channels + place.channel;
    float values[Width], others[Width];
    load_pack(x + at, values);
    for (int w = 0; w < Width; ++w) values[w] = affine(values[w], w);
    if (added != nullptr) {
      load_pack(added + at, others);
      for (int w = 0; w < Width; ++w) values[w] += beside(others[w], w);
    }
    for (int w = 0; w < Width; ++w) values[w] = values[w] > 0.0f ? values[w] : 0.0f;
    store_pack(values, y + at);
  }
}

/// The reduction of the backward pass: with g = (grad [+ grad2]) gated by the ReLU,
///   sum g,  sum g (x - mean)  and, with Count 3,  sum g (x2 - mean2).
struct Reduction {
  const void* grad = nullptr;
  const void* grad2 = nullptr;   ///< nullptr: none
  const void* output = nullptr;  ///< the ReLU's output, which gates; nullptr: gated by affine(x) > 0 instead
  void* gated = nullptr;         ///< where g is stored; may be grad; nullptr: not stored
  const void* x = nullptr;
  const float* mean = nullptr;
  Affine affine = {};  ///< of x, when output is nullptr
  const void* x2 = nullptr;
  const float* mean2 = nullptr;
};

template <class T, int Width, int Count>
__global__ void __launch_bounds__(grid_threads) reduce_gradient(ChannelGrid grid, Reduction pass, float* partials) {
  const ChannelPlace place = channel_place<Width>(grid);
  float sums[Count][Width] = {};
  if (place.has_channels) {
    const AffinePack<Width> affine(pass.affine, place.channel);
    float means[2][Width] = {};
    for (int w = 0; w < Width; ++w) {
      means[0][w] = pass.mean[place.channel + w];
      if (Count == 3) means[1][w] = pass.mean2[place.channel + w];
    }
    for (Index r = place.first_row; r < grid.rows; r += place.row_step) {
      const Index at = r * grid.channels + place.channel;
      float g[Width], x[Width], other[Width];
      load_pack(static_cast<const T*>(pass.grad) + at, g);
      load_pack(static_cast<const T*>(pass.x) + at, x);
      if (pass.grad2 != nullptr) {
        load_pack(static_cast<const T*>(pass.grad2) + at, other);
        for (int w = 0; w < Width; ++w) g[w] += other[w];
      }
      if (pass.output != nullptr) load_pack(static_cast<const T*>(pass.output) + at, other);
      for (int w = 0; w < Width; ++w)
        if (!((pass.output != nullptr ? other[w] : affine(x[w], w)) > 0.0f)) g[w] = 0.0f;
      if (pass.gated != nullptr) store_pack(g, static_cast<T*>(pass.gated) + at);
      for (int w = 0; w < Width; ++w) {
        sums[0][w] += g[w];
        sums[1][w] += g[w] * (x[w] - means[0][w]);
      }
      if constexpr (Count == 3) {
        load_pack(static_cast<const T*>(pass.x2) + at, other);
        for (int w = 0; w < Width; ++w) sums[2][w] += g[w] * (other[w] - means[1][w]);
      }
    }
  }
  store_partials(grid, sums, partials);
}

/// The input gradient a g + b x + c of a channel.
struct GradientMap {
  const float *a, *b, *c;
};

template <int Width>
struct GradientPack {
  float a[Width], b[Width], c[Width];
  __device__ GradientPack(const GradientMap& map, Index channel) {
    for (int w = 0; w < Width; ++w) {
      a[w] = map.a[channel + w];
      b[w] = map.b[channel + w];
      c[w] = map.c[channel + w];
    }
  }
  __device__ float operator()(float g, float x, int w) const { return a[w] * g + b[w] * x + c[w]; }
};

/// dx = map(g, x), g gated by gate(x) > 0 first where there is a gate. dx may be g.
template <class T, int Width>
__global__ void __launch_bounds__(grid_threads)
    apply_gradient(ChannelGrid grid, const T* g, const T* x, GradientMap map, Affine gate, T* dx) {
  const ChannelPlace place = channel_place<Width>(grid);
  if (!place.has_channels) return;
  const GradientPack<Width> apply(map, place.channel);
  const AffinePack<Width> gates(gate, place.channel);
#pragma unroll 2
  for (Index r = place.first_row; r < grid.rows; r += place.row_step) {
    const Index at = r * grid.channels + place.channel;
    float gradients[Width], values[Width];
    load_pack(g + at, gradients);
    load_pack(x + at, values);
    for (int w = 0; w < Width; ++w) {
      if (gate.scale != nullptr && !(gates(values[w], w) > 0.0f)) gradients[w] = 0.0f;
      gradients[w] = apply(gradients[w], values[w], w);
    }
    store_pack(gradients, dx + at);
  }
}

/// The same for both branches of a block in one pass over g; either result may be g.
template <class T, int Width>
__global__ void __launch_bounds__(grid_threads)
    apply_gradient_twice(ChannelGrid grid, const T* g, const T* x, GradientMap map, T* dx, const T* x2,
                         GradientMap map2, T* dx2) {
  const ChannelPlace place = channel_place<Width>(grid);
  if (!place.has_channels) return;
  const GradientPack<Width> apply(map, place.channel), apply2(map2, place.channel);
  for (Index r = place.first_row; r < grid.rows; r += place.row_step) {
    const Index at = r * grid.channels + place.channel;
    float gradients[Width], values[Width], first[Width], second[Width];
    load_pack(g + at, gradients);
    load_pack(x + at, values);
    for (int w = 0; w < Width; ++w) first[w] = apply(gradients[w], values[w], w);
    load_pack(x2 + at, values);
    for (int w = 0; w < Width; ++w) second[w] = apply2(gradients[w], values[w], w);
    store_pack(first, dx + at);
    store_pack(second, dx2 + at);
  }
}

}  // namespace swav::resnet::cuda
