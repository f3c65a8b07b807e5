// A fully connected layer on the GPU, in float: the calls of engine/linear.hpp. In: rows x in activations, PyTorch's
// out x in weights and bias. Out: steps of a CudaProgram.
#pragma once

#include <span>
#include <string>

#include "engine/cuda/program.cuh"

namespace swav::resnet::cuda {

class Linear {
 public:
  struct Arrays {
    std::span<float> weight, bias, grad_weight, grad_bias;
  };
  /// y = x W^T + b with W out x in. The arrays outlive the program.
  Linear(std::string name, Index rows, Index in, Index out, Arrays arrays)
      : name_(std::move(name)), rows_(rows), in_(in), out_(out), arrays_(arrays) {}

  void forward(CudaProgram& program, Buffer* input, Buffer* output);
  /// Overwrites the gradients of weight and bias.
  void backward_weights(CudaProgram& program, Buffer* input, Buffer* grad_output);
  void backward_data(CudaProgram& program, Buffer* grad_output, Buffer* grad_input);

 private:
  [[nodiscard]] MatrixView<float> weight() const { return {arrays_.weight.data(), out_, in_}; }

  std::string name_;
  Index rows_, in_, out_;
  Arrays arrays_;
};

}  // namespace swav::resnet::cuda
