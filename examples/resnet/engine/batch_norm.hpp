// Batch norm with its ReLU and shortcut, in training and in evaluation. In: a convolution's output, PyTorch's
// parameters. Out: steps of a Program: the activation, the input gradients, the parameters' gradients and running
// statistics. The batch is that of all ranks of the program, which have as many images each.
#pragma once

#include <vector>

#include "engine/dnnl_program.hpp"
#include "engine/norm_parameters.hpp"
#include "engine/norm_passes.hpp"

namespace swav::resnet {

/// One batch norm at one resolution. The object must outlive the program's runs.
class BatchNorm {
 public:
  BatchNorm(const DnnlProgram& program, NormParameters& parameters, ChannelLayout layout, Precision precision);
  BatchNorm(const BatchNorm&) = delete;

  using Joined = JoinedBranch<BatchNorm>;
  using JoinedBackward = BackwardOfJoined<BatchNorm>;

  /// Adds the step that computes the batch's statistics of x and moves the running ones.
  void statistics(Program& program, Buffer* x);
  /// Adds the step, to Section::prepare, that takes the running statistics instead.
  void running_statistics(Program& program);
  /// Adds output = max(0, norm(x) [+ joined]); statistics (of the joined norm too) come before. output may be x.
  void relu(Program& program, Buffer* x, Joined joined, Buffer* output);

  /// Adds dx (may be grad_output) for a norm without shortcut, whose output is recomputed rather than read.
  void backward(Program& program, Buffer* x, Buffer* grad_output, Buffer* dx);
  /// Adds dx, and leaves in grad_output the gradient of the joined branch (of its norm's input, where it has one).
  void backward_joined(Program& program, const JoinedBackward& buffers);

 private:
  [[nodiscard]] ChannelAffine affine() const { return {scale_.data(), shift_.data()}; }
  [[nodiscard]] NormGradient gradient_map() const { return {a_.data(), b_.data(), c_.data()}; }
  void set_affine(const double* mean, const double* variance);
  void store_gradient(const double* sum_gradient, const double* sum_product, bool adds);
  void set_gradient_map(const double* sum_gradient, const double* sum_product, const RankGroup& ranks);
  [[nodiscard]] double count(const RankGroup& ranks) const;

  NormParameters& parameters_;
  ChannelLayout layout_;
  Precision precision_;
  int threads_;
  std::vector<float> mean_, inverse_deviation_, scale_, shift_, a_, b_, c_;
  std::vector<double> sums_;  // 3 x padded channels
};

}  // namespace swav::resnet
