// Global pooling by our own passes. In: shapes and buffers. Out: steps.
#include "engine/global_pooling.hpp"

#include "engine/norm_passes.hpp"

namespace swav::resnet {

void GlobalPooling::forward(Program& program, Buffer* input, Buffer* features, Index first_row) const {
  program.add(Section::forward, "pooling", {input, features}, [*this, input, features, first_row] {
    const MatrixView<float> all(features->as<float>(), first_row + input_.images, input_.channels);
    average_pixels(input_, precision_, input->data(), all.middle_rows(first_row, input_.images), threads_);
  });
}

void GlobalPooling::backward(Program& program, Buffer* grad_features, Index first_row, Buffer* grad_input) const {
  program.add(Section::backward, "pooling", {grad_features, grad_input}, [*this, grad_features, first_row, grad_input] {
    const MatrixView<const float> all(grad_features->as<float>(), first_row + input_.images, input_.channels);
    spread_gradient(input_, precision_, all.middle_rows(first_row, input_.images), grad_input->data(), threads_);
  });
}

void GlobalPooling::add_gradients(Program& program, Buffer* a, Buffer* b) const {
  program.add(Section::backward, "sum of gradients", {a, b},
              [*this, a, b] { resnet::add_gradients(input_, precision_, a->data(), b->data(), a->data(), threads_); });
}

}  // namespace swav::resnet
