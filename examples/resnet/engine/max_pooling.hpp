// The ImageNet stem's 3x3 max pooling, stride 2, padding 1, by oneDNN. In: activations in the network's layout. Out:
// steps for forward and backward.
#pragma once

#include "engine/channel_layout.hpp"
#include "engine/dnnl_program.hpp"
#include "engine/dnnl_version.hpp"

namespace swav::resnet {

class MaxPooling {
 public:
  MaxPooling(ChannelLayout input, Precision precision);

  [[nodiscard]] const ChannelLayout& output() const { return output_; }
  void forward(DnnlProgram& program, Buffer* input, Buffer* output);
  void backward(DnnlProgram& program, Buffer* grad_output, Buffer* grad_input);

 private:
  ChannelLayout input_, output_;
  Precision precision_;
  PoolingForward::primitive_desc forward_;
  Buffer* workspace_ = nullptr;  // which element of each window was the largest
};

}  // namespace swav::resnet
