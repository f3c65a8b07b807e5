// The tuner of any processor. In: its linear layer. Out: see eval/tuner.hpp.
//
// `Layer` is what the template asks of a processor:
//   Device, device()            of the optimisers
//   Layer(start, rows)          for batches of so many rows of features
//   step(features, labels)      adds the loss up; returns the gradient of the features, overwrites its own
//   parameters()                weight and bias with their gradients
//   take_loss(), classifier()   as the tuner's
#pragma once

#include <utility>
#include <vector>

#include "eval/tuner.hpp"
#include "swav/optim/basic_sgd.hpp"

namespace swav::resnet {

template <class Layer>
class BasicTuner final : public Tuner {
 public:
  explicit BasicTuner(const TunerPlan& plan)
      : network_(plan.network),
        layer_(plan.start, network_.rows()),
        trunk_optimizer_({.momentum = 0.9, .weight_decay = plan.weight_decay}, trunk_parameters(), layer_.device()),
        layer_optimizer_({.momentum = 0.9, .weight_decay = plan.weight_decay}, layer_.parameters(), layer_.device()) {}

  void step(std::span<const int> labels, double layer_rate, std::optional<double> trunk_rate) override {
    const MatrixView<const float> grad_features = layer_.step(network_.forward(), labels);
    if (trunk_rate) {
      network_.backward(grad_features);
      trunk_optimizer_.step(*trunk_rate);
    }
    layer_optimizer_.step(layer_rate);
  }
  [[nodiscard]] double take_loss() override { return layer_.take_loss(); }
  [[nodiscard]] Classifier classifier() override { return layer_.classifier(); }

 private:
  [[nodiscard]] std::vector<Parameter<float>> trunk_parameters() {
    std::vector<Parameter<float>> parameters;
    for (NamedTensor& tensor : network_.parameters())
      if (!tensor.gradient.empty())
        parameters.push_back(
            {.value = tensor.value, .gradient = tensor.gradient, .decays = tensor.decays, .name = tensor.name});
    return parameters;
  }

  Network& network_;
  Layer layer_;
  Sgd<float, typename Layer::Device> trunk_optimizer_, layer_optimizer_;
};

}  // namespace swav::resnet
