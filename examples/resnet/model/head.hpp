// The projection head on any engine: Linear-BatchNorm-ReLU-Linear, in float on the rows of all groups. In: features,
// gradients of the embeddings. Out: steps of a Program.
#pragma once

#include <vector>

#include "engine/norm_parameters.hpp"
#include "engine/precision.hpp"
#include "model/weights.hpp"

namespace swav::resnet {

template <class Engine>
class Head {
  using EngineProgram = typename Engine::Program;

 public:
  struct Shape {
    Index rows, in, hidden, out;
  };

  /// Adds the forward steps; `tensors` are of the engine's memory.
  Head(EngineProgram& program, std::vector<NamedTensor>& tensors, Shape shape, Buffer* features, Buffer* embeddings)
      : shape_(shape),
        features_(features),
        norm_parameters_(norm_arrays(tensors, "projection_head.1")),
        norm_(program, norm_parameters_, Engine::row_layout(shape.rows, shape.hidden), Precision::float32),
        first_("projection_head.0", shape.rows, shape.in, shape.hidden, arrays(tensors, "projection_head.0")),
        second_("projection_head.3", shape.rows, shape.hidden, shape.out, arrays(tensors, "projection_head.3")),
        hidden_(rows_of(program, shape.hidden)),
        activated_(rows_of(program, shape.hidden)) {
    first_.forward(program, features, hidden_);
    norm_.statistics(program, hidden_);
    norm_.relu(program, hidden_, {}, activated_);
    second_.forward(program, activated_, embeddings);
  }

  /// Adds the backward steps; returns the gradient of the features.
  Buffer* backward(EngineProgram& program, Buffer* grad_embeddings) {
    second_.backward_weights(program, activated_, grad_embeddings);
    Buffer* grad_hidden = rows_of(program, shape_.hidden);
    second_.backward_data(program, grad_embeddings, grad_hidden);
    norm_.backward(program, hidden_, grad_hidden, grad_hidden);
    first_.backward_weights(program, features_, grad_hidden);
    Buffer* grad_features = rows_of(program, shape_.in);
    first_.backward_data(program, grad_hidden, grad_features);
    return grad_features;
  }

 private:
  static typename Engine::Linear::Arrays arrays(std::vector<NamedTensor>& tensors, const std::string& name) {
    NamedTensor& weight = find_tensor(tensors, name + ".weight");
    NamedTensor& bias = find_tensor(tensors, name + ".bias");
    return {weight.value, bias.value, weight.gradient, bias.gradient};
  }
  [[nodiscard]] Buffer* rows_of(EngineProgram& program, Index cols) const {
    return program.buffer(static_cast<std::size_t>(shape_.rows * cols) * sizeof(float));
  }

  Shape shape_;
  Buffer* features_;
  NormParameters norm_parameters_;
  typename Engine::BatchNorm norm_;
  typename Engine::Linear first_, second_;
  Buffer *hidden_, *activated_;
};

}  // namespace swav::resnet
