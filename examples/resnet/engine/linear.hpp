// A fully connected layer by oneDNN, in float. In: rows x in activations, PyTorch's out x in weights and bias. Out:
// steps for forward and backward, reading and writing the master arrays in place.
#pragma once

#include <span>
#include <string>

#include "engine/dnnl_program.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav::resnet {

class Linear {
 public:
  struct Arrays {
    std::span<float> weight, bias, grad_weight, grad_bias;
  };
  /// y = x W^T + b with W out x in. The arrays outlive the program.
  Linear(std::string name, Index rows, Index in, Index out, Arrays arrays);

  void forward(DnnlProgram& program, Buffer* input, Buffer* output);
  /// Overwrites the gradients of weight and bias.
  void backward_weights(DnnlProgram& program, Buffer* input, Buffer* grad_output);
  void backward_data(DnnlProgram& program, Buffer* grad_output, Buffer* grad_input);

 private:
  std::string name_;
  Arrays arrays_;
  dnnl::memory::desc input_, weight_, bias_, output_;
  dnnl::inner_product_forward::primitive_desc forward_;
};

}  // namespace swav::resnet
