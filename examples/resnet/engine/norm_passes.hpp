// The passes of batch norm, fused with what surrounds it in a residual network: ReLU, the addition of the shortcut, the
// sum of two branches' gradients. In: activations in any ChannelLayout. Out: moments, activations, gradients.
// oneDNN's own batch norm cannot take the shortcut in, nor a second normalised branch: each would be another pass over
// memory, and these passes do nothing but move memory.
#pragma once

#include "engine/channel_layout.hpp"
#include "engine/precision.hpp"

namespace swav::resnet {

/// One affine map a channel, padded channels included: y = scale x + shift.
struct ChannelAffine {
  const float* scale;
  const float* shift;
};

/// A shortcut to be added before the ReLU: `data` as it is (scale == nullptr), or through its own affine map.
struct Shortcut {
  const void* data = nullptr;
  ChannelAffine affine = {nullptr, nullptr};
};

/// Mean and biased variance of every channel over images and pixels. `partials`: room for
/// partial_count(layout, threads) doubles. Sums are taken about the channel's first element, so a mean much larger
/// than the spread costs no digits. Reads x once.
void batch_moments(const ChannelLayout& layout, Precision precision, const void* x, int threads, double* partials,
                   double* mean, double* variance);

/// y = max(0, scale x + shift [+ shortcut]). y may be x or the shortcut.
void normalize_relu(const ChannelLayout& layout, Precision precision, const void* x, ChannelAffine affine,
                    Shortcut shortcut, void* y, int threads);

/// The reduction of batch norm's backward pass: with g = (grad [+ grad2]) gated by the ReLU,
///   sum_gradient = sum g,  sum_product = sum g (x - mean),  sum_product2 = sum g (x2 - mean2).
struct NormReduction {
  const void* grad = nullptr;
  const void* grad2 = nullptr;   ///< nullptr: none
  const void* output = nullptr;  ///< the ReLU's output, which gates; nullptr: gated by affine(x) > 0 instead
  void* gated = nullptr;         ///< where g is stored; may be grad or grad2; nullptr: not stored
  const void* x = nullptr;
  const float* mean = nullptr;
  ChannelAffine affine = {nullptr, nullptr};  ///< of x, when output is nullptr
  const void* x2 = nullptr;                   ///< the shortcut's own normalised activation; nullptr: none
  const float* mean2 = nullptr;
};
void reduce_gradient(const ChannelLayout& layout, Precision precision, const NormReduction& pass, int threads,
                     double* partials, double* sum_gradient, double* sum_product, double* sum_product2);

/// dx = a g + b x + c a channel, the input gradient of batch norm. If `gate` is not null, g is first gated by
/// gate(x) > 0. dx may be g.
struct NormGradient {
  const float* a;
  const float* b;
  const float* c;
};
void apply_gradient(const ChannelLayout& layout, Precision precision, const void* g, const void* x, NormGradient map,
                    const ChannelAffine* gate, void* dx, int threads);
/// The same for both branches of a block in one pass over g; dx may be g.
void apply_gradient_twice(const ChannelLayout& layout, Precision precision, const void* g, const void* x,
                          NormGradient map, void* dx, const void* x2, NormGradient map2, void* dx2, int threads);

/// Doubles of scratch that batch_moments and reduce_gradient want.
[[nodiscard]] inline Index partial_count(const ChannelLayout& layout, int threads) {
  return 3 * threads * layout.padded_channels();
}

/// features(row, c) = mean over the pixels of channel c; features has layout.channels columns.
void average_pixels(const ChannelLayout& layout, Precision precision, const void* x, MatrixView<float> features,
                    int threads);
/// Its gradient: every pixel gets its channel's gradient / pixels.
void spread_gradient(const ChannelLayout& layout, Precision precision, MatrixView<const float> gradient, void* dx,
                     int threads);
/// out = a + b; out may be either.
void add_gradients(const ChannelLayout& layout, Precision precision, const void* a, const void* b, void* out,
                   int threads);

}  // namespace swav::resnet
