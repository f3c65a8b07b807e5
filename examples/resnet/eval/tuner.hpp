// What of finetuning computes, on any processor: steps of a network and of a linear layer on its features. In: a
// network, labels, rates. Out: losses, the layer.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "export/classifier.hpp"
#include "model/network.hpp"

namespace swav::resnet {

/// A network, which it changes, and the linear layer that it starts with. Both learn by SGD with momentum 0.9.
struct TunerPlan {
  Network& network;  ///< without a head, with gradients; outlives the tuner
  const Classifier& start;
  double weight_decay;
};

class Tuner {
 public:
  virtual ~Tuner() = default;
  /// One step on the images that the network has, of which each has a label below the number of classes; the loss is
  /// the mean softmax cross-entropy. Without a trunk_rate the layer learns alone, and of the network the running
  /// statistics move. On a GPU it returns before the work is done.
  virtual void step(std::span<const int> labels, double layer_rate, std::optional<double> trunk_rate) = 0;
  /// The sum of the losses of all steps since the last call, for which it waits. Throws InvalidInput where values that
  /// are not finite were met.
  [[nodiscard]] virtual double take_loss() = 0;
  /// The layer as it is now.
  [[nodiscard]] virtual Classifier classifier() = 0;
};

/// One for each processor; that of CUDA throws InvalidInput in a build without.
[[nodiscard]] std::unique_ptr<Tuner> make_cpu_tuner(const TunerPlan& plan);
[[nodiscard]] std::unique_ptr<Tuner> make_cuda_tuner(const TunerPlan& plan);
[[nodiscard]] inline std::unique_ptr<Tuner> make_tuner(const TunerPlan& plan) {
  return plan.network.processor() == Processor::cuda ? make_cuda_tuner(plan) : make_cpu_tuner(plan);
}

}  // namespace swav::resnet
