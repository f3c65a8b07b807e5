// Convolution without bias by cuDNN, in training: the calls of engine/convolution.hpp. In: activations in NHWC, float
// master weights (OIHW) in the GPU's memory. Out: steps of a CudaProgram.
//
// cuDNN's convolution functions rather than its graphs: they choose among the same kernels by cuDNN's own heuristics,
// fail at construction rather than in a run, and what a graph could fuse (batch norm's sums and maps) our own kernels
// take in one read.
#pragma once

#include <array>
#include <span>
#include <string>

#include "engine/cuda/descriptors.cuh"
#include "engine/cuda/program.cuh"

namespace swav::resnet::cuda {

/// The master weights of one convolution, their gradient, and the copy that cuDNN reads: out x kernel x kernel x in, of
/// the network's precision, made once a step for all resolutions. Input channels that the images lack are zeros.
class ConvolutionWeights {
 public:
  ConvolutionWeights(std::string name, Index out_channels, Index in_channels, Index kernel, std::span<float> value,
                     std::span<float> gradient);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] Index out_channels() const { return out_channels_; }
  [[nodiscard]] Index in_channels() const { return in_channels_; }
  [[nodiscard]] Index kernel() const { return kernel_; }
  [[nodiscard]] Index count(Index in_channels) const { return out_channels_ * kernel_ * kernel_ * in_channels; }

  /// The copy, for inputs of so many channels; adds the conversion to `section` where it is first asked for.
  [[nodiscard]] Buffer* converted(CudaProgram& program, Section section, Index in_channels, Precision precision);
  /// Adds the step that brings `computed`, a gradient in the copy's layout, into the master gradient: the first one
  /// overwrites it, later ones add to it.
  void collect_gradient(CudaProgram& program, Buffer* computed, Index in_channels, Precision precision);

 private:
  std::string name_;
  Index out_channels_, in_channels_, kernel_;
  std::span<float> value_, gradient_;
  Buffer* converted_ = nullptr;
  bool gradient_started_ = false;
};

/// One convolution at one resolution, padded by (kernel - 1) / 2.
class Convolution {
 public:
  Convolution(ConvolutionWeights& weights, CudaLayout input, Index stride, Precision precision);

  [[nodiscard]] const CudaLayout& output() const { return output_; }

  void forward(CudaProgram& program, Section weights_section, Buffer* input, Buffer* output);
  void forward_from_images(CudaProgram& program, Section weights_section, Buffer* images, Buffer* output) {
    forward(program, weights_section, images, output);
  }
  /// In bfloat16 the gradient of one resolution is rounded to it, as in PyTorch.
  void backward_weights(CudaProgram& program, Buffer* grad_output);
  void backward_data(CudaProgram& program, Buffer* grad_output, Buffer* grad_input);

 private:
  /// What its time depends on.
  [[nodiscard]] std::array<Index, 7> shape() const {
    return {input_.images,
            input_.channels,
            input_.size,
            weights_.out_channels(),
            weights_.kernel(),
            stride_,
            precision_ == Precision::bfloat16};
  }

  ConvolutionWeights& weights_;
  CudaLayout input_, output_;
  Index stride_;
  Precision precision_;
  TensorDescriptor input_descriptor_, output_descriptor_;
  FilterDescriptor filter_descriptor_;
  ConvolutionDescriptor forward_, backward_weights_, backward_data_;
  Buffer* input_buffer_ = nullptr;
  Buffer* filters_ = nullptr;
};

}  // namespace swav::resnet::cuda
