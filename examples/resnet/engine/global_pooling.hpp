// What is left of a trunk: the mean over the pixels, and the sum of two gradients. In: activations in the network's
// layout. Out: steps for forward and backward.
#pragma once

#include "engine/channel_layout.hpp"
#include "engine/dnnl_program.hpp"

namespace swav::resnet {

class GlobalPooling {
 public:
  GlobalPooling(const DnnlProgram& program, ChannelLayout input, Precision precision)
      : input_(input), precision_(precision), threads_(program.threads()) {}

  /// Adds features(first_row + image, c) = the mean of channel c; features has input.channels columns.
  void forward(Program& program, Buffer* input, Buffer* features, Index first_row) const;
  void backward(Program& program, Buffer* grad_features, Index first_row, Buffer* grad_input) const;
  /// Adds a += b, both of the input's layout.
  void add_gradients(Program& program, Buffer* a, Buffer* b) const;

 private:
  ChannelLayout input_;
  Precision precision_;
  int threads_;
};

}  // namespace swav::resnet
