// Batch norm with its ReLU and shortcut, in training and in evaluation. In: a convolution's output, PyTorch's
// parameters. Out: steps of a Program: the activation, the input gradients, the parameters' gradients and running
// statistics. The batch is that of all ranks of the program, which have as many images each.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/norm_passes.hpp"
#include "engine/program.hpp"

namespace swav::resnet {

/// eps = 1e-5; running statistics move by 0.1 a step towards the batch's mean and unbiased variance, as PyTorch's.
struct NormArrays {
  std::string name;
  std::span<float> weight, bias, running_mean, running_variance;
  std::span<float> grad_weight, grad_bias;  ///< empty in evaluation
};

/// The parameters of one batch norm. Several resolutions share one object: each normalises by its own statistics, and
/// gradients add up.
class NormParameters {
 public:
  explicit NormParameters(NormArrays arrays) : arrays_(std::move(arrays)) {}
  [[nodiscard]] const NormArrays& arrays() const { return arrays_; }
  /// Whether the next gradient adds to what is there; the first one that asks does not.
  [[nodiscard]] bool next_gradient_adds() {
    const bool adds = gradient_started_;
    gradient_started_ = true;
    return adds;
  }

 private:
  NormArrays arrays_;
  bool gradient_started_ = false;
};

/// One batch norm at one resolution. The object must outlive the program's runs.
class BatchNorm {
 public:
  BatchNorm(NormParameters& parameters, ChannelLayout layout, Precision precision, int threads);
  BatchNorm(const BatchNorm&) = delete;

  /// A branch that joins this norm's output before the ReLU: an activation, with its own batch norm or without.
  struct Joined {
    Buffer* activation = nullptr;
    BatchNorm* norm = nullptr;
  };

  /// Adds the step that computes the batch's statistics of x and moves the running ones.
  void statistics(Program& program, Buffer* x);
  /// Adds the step, to Section::prepare, that takes the running statistics instead.
  void running_statistics(Program& program);
  /// Adds output = max(0, norm(x) [+ joined]); statistics (of the joined norm too) come before. output may be x.
  void relu(Program& program, Buffer* x, Joined joined, Buffer* output);

  /// Adds dx (may be grad_output) for a norm without shortcut, whose output is recomputed rather than read.
  void backward(Program& program, Buffer* x, Buffer* grad_output, Buffer* dx);
  /// What the gradient of a norm with a shortcut reads and writes.
  struct JoinedBackward {
    Buffer* x;
    Joined joined;
    Buffer* output;
    Buffer* grad_output;
    Buffer* grad_output2;  ///< a second gradient to be added, or nullptr
    Buffer* dx;            ///< the gradient of x; must not be grad_output
  };
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
