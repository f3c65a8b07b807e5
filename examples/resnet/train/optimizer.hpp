// The optimiser a run has chosen. In: options and parameters. Out: SGD, alone or with LARC or LARS, or AdamW, behind
// one face.
#pragma once

#include <utility>
#include <variant>
#include <vector>

#include "swav/optim/basic_adamw.hpp"
#include "swav/optim/basic_sgd.hpp"
#include "train/options.hpp"

namespace swav::resnet {

template <class Device>
class Optimizer {
 public:
  Optimizer(const TrainOptions& options, std::vector<Parameter<float>> parameters, const Device& device)
      : choice_(make(options, std::move(parameters), device)) {}

  void step(double learning_rate) {
    std::visit([&](auto& optimizer) { optimizer.step(learning_rate); }, choice_);
  }
  [[nodiscard]] std::vector<StateBuffer<float>> state() {
    return std::visit([](auto& optimizer) { return optimizer.state(); }, choice_);
  }
  void set_steps(Index steps) {
    std::visit([&](auto& optimizer) { optimizer.set_steps(steps); }, choice_);
  }

 private:
  using Sgd = swav::Sgd<float, Device>;
  using AdamW = swav::AdamW<float, Device>;
  using Choice = std::variant<Sgd, AdamW>;

  static Choice make(const TrainOptions& o, std::vector<Parameter<float>> parameters, const Device& device) {
    if (o.optimizer == "adamw")
      return Choice(std::in_place_type<AdamW>, AdamWOptions{.weight_decay = o.weight_decay}, std::move(parameters),
                    device);
    SgdOptions sgd{.momentum = o.momentum, .weight_decay = o.weight_decay};
    if (o.larc) sgd.larc = LarcOptions{};
    if (o.optimizer == "lars") sgd.lars = LarsOptions{};
    return Choice(std::in_place_type<Sgd>, sgd, std::move(parameters), device);
  }

  Choice choice_;
};

}  // namespace swav::resnet
