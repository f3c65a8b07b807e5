// The weight gradient of a convolution in bfloat16, by AVX512-BF16 dot products. In: activations and output gradients
// in blocks of 16 channels. Out: the gradient in float, in oneDNN's OIhw16i16o. oneDNN 2.6 reaches half of its forward
// rate here where channels are few or the stride is 2, and this is the largest part of a step
// (bench/resnet_step.cpp times it). Everything else about convolutions is oneDNN's.
#pragma once

#include "engine/channel_layout.hpp"
#include "engine/lanes.hpp"

namespace swav::resnet {

class WeightGradient {
 public:
  /// Whether this CPU's build has it and it is meant for the shape: bfloat16, blocks of 16 channels without padding,
  /// kernel 3 (padding 1) or 1, stride 1 or 2, and weights few enough that a copy a thread is cheap.
  [[nodiscard]] static bool suits(const ChannelLayout& input, const ChannelLayout& output, Index kernel, Index stride,
                                  Precision precision);

  WeightGradient(const ChannelLayout& input, const ChannelLayout& output, Index kernel, Index stride, int threads);

  [[nodiscard]] std::size_t scratch_bytes() const;
  [[nodiscard]] dnnl::memory::desc desc() const;
  /// Overwrites `gradient`. Repeats bit for bit at a fixed thread count.
  void operator()(const Bfloat16* input, const Bfloat16* grad_output, void* scratch, float* gradient) const;

 private:
  void run_share(int thread, const Bfloat16* input, const Bfloat16* grad_output, std::byte* scratch,
                 float* gradient) const;
  [[nodiscard]] Index weights() const;

  ChannelLayout input_, output_;
  Index kernel_;
  [[maybe_unused]] Index stride_, padding_;  // unused where the build lacks the instructions
  int threads_;
  Index group_;          // images transposed together, so that a weight tile is used many times once loaded
  Index pairs_;          // of output pixels a row
  Index row_pitch_;      // elements between rows of a transposed channel
  Index channel_pitch_;  // elements between transposed channels
  Index odd_;            // stride 2: where the pixels at even positions begin in a row
};

}  // namespace swav::resnet
