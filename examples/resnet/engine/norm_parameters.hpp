// What batch norm is on any engine: its parameters, and how it joins a residual branch. In: memory of the engine's
// device. Out: views of it.
#pragma once

#include <span>
#include <string>
#include <utility>

#include "engine/program.hpp"

namespace swav::resnet {

/// eps = 1e-5; running statistics move by 0.1 a step towards the batch's mean and unbiased variance, as PyTorch's.
struct NormArrays {
  static constexpr double epsilon = 1e-5, momentum = 0.1;

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

/// A branch that joins a norm's output before the ReLU: an activation, with its own batch norm or without.
template <class Norm>
struct JoinedBranch {
  Buffer* activation = nullptr;
  Norm* norm = nullptr;
};

/// What the gradient of a norm with a shortcut reads and writes.
template <class Norm>
struct BackwardOfJoined {
  Buffer* x;
  JoinedBranch<Norm> joined;
  Buffer* output;
  Buffer* grad_output;
  Buffer* grad_output2;  ///< a second gradient to be added, or nullptr
  Buffer* dx;            ///< the gradient of x; must not be grad_output
};

}  // namespace swav::resnet
