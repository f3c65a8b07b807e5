// Convolution without bias by oneDNN, in training. In: activations in the network's layout, float master weights
// (OIHW). Out: steps of a Program for forward, backward-data and backward-weights, in the weight layouts that oneDNN
// chooses.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/channel_layout.hpp"
#include "engine/dnnl_program.hpp"

namespace swav::resnet {

/// The master weights of one convolution, their gradient, and their copies in the layouts that primitives want. Several
/// resolutions share one object; each copy is made once a step.
class ConvolutionWeights {
 public:
  /// `value`, `gradient`: out x in x kernel x kernel (OIHW) floats that outlive the program; `gradient` may be empty in
  /// evaluation.
  ConvolutionWeights(std::string name, Index out_channels, Index in_channels, Index kernel, std::span<float> value,
                     std::span<float> gradient);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] Index out_channels() const { return out_channels_; }
  [[nodiscard]] Index in_channels() const { return in_channels_; }
  [[nodiscard]] Index kernel() const { return kernel_; }
  [[nodiscard]] dnnl::memory::dims dims() const { return {out_channels_, in_channels_, kernel_, kernel_}; }

  /// The weights as `desc` wants them; adds the conversion to `section` where they are first asked for.
  [[nodiscard]] Buffer* as(DnnlProgram& program, Section section, const dnnl::memory::desc& desc);
  /// Adds the steps that bring `computed`, a gradient in layout `desc`, into the master gradient: the first one
  /// overwrites it, later ones add to it.
  void collect_gradient(DnnlProgram& program, Buffer* computed, const dnnl::memory::desc& desc);

 private:
  struct Copy {
    dnnl::memory::desc desc;
    Buffer* buffer;
  };
  [[nodiscard]] dnnl::memory::desc master_desc() const;

  std::string name_;
  Index out_channels_, in_channels_, kernel_;
  std::span<float> value_, gradient_;
  std::vector<Copy> copies_;
  bool gradient_started_ = false;
};

/// One convolution at one resolution, padded by (kernel - 1) / 2.
class Convolution {
 public:
  /// `input`: the activation's layout. Emits nothing yet.
  Convolution(ConvolutionWeights& weights, ChannelLayout input, Index stride, Precision precision);

  [[nodiscard]] const ChannelLayout& output() const { return output_; }

  /// Adds output = input * weights. Weights are converted in `weights_section`.
  void forward(DnnlProgram& program, Section weights_section, Buffer* input, Buffer* output);
  /// The same from planar float images (the network's input), in whatever layout oneDNN prefers for them.
  void forward_from_images(DnnlProgram& program, Section weights_section, Buffer* images, Buffer* output);
  /// Adds the weights' gradient; after forward.
  void backward_weights(DnnlProgram& program, Buffer* grad_output);
  /// Adds grad_input = the gradient with respect to the input; after forward.
  void backward_data(DnnlProgram& program, Buffer* grad_output, Buffer* grad_input);

 private:
  [[nodiscard]] dnnl::memory::desc any_input() const;
  void describe_forward(const DnnlProgram& program, const dnnl::memory::desc& input);
  void add_forward(DnnlProgram& program, Section weights_section, Buffer* output);

  ConvolutionWeights& weights_;
  ChannelLayout input_, output_;
  Index stride_;
  Precision precision_;
  dnnl::convolution_forward::primitive_desc forward_;
  dnnl::memory::desc input_desc_;
  Buffer* input_buffer_ = nullptr;
  Buffer* images_ = nullptr;
};

}  // namespace swav::resnet
