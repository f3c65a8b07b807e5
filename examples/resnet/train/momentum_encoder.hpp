// A second network and bank that follow the learning ones slowly; codes are of their embeddings (MoCo's encoder, as
// VISSL joins it to SwAV). In: what learns, large crops. Out: embeddings that nothing flows back through.
#pragma once

#include <span>
#include <utility>

#include "model/network.hpp"
#include "swav/prototypes/basic_bank.hpp"

namespace swav::resnet {

/// In training mode: batch norm takes the statistics of the large crops, which alone go through it, and moves running
/// ones of its own. Training: see basic_learner.hpp.
template <class Training>
class MomentumEncoder {
  using Device = typename Training::Device;
  using Bank = PrototypeBank<float, Device>;

 public:
  /// Starts as what it follows; `crops` are the large ones, of this rank. `momentum` in [0, 1): how much of itself it
  /// keeps a step.
  MomentumEncoder(Network& followed, const Bank& bank, ImageGroup crops, Precision precision, double momentum,
                  const Device& device, RankGroup ranks)
      : device_(device),
        network_(followed.architecture(), {crops}, precision, /*seed=*/0, Gradients::none, std::move(ranks),
                 Training::processor),
        bank_(bank.head_prototypes(), bank.dimension(), /*seed=*/0, device),
        momentum_(static_cast<float>(momentum)) {
    start_as(followed, bank);
  }

  /// Embeddings of crops as the followed network's first images; valid until the next call.
  MatrixView<const float> embed(const void* crops) {
    const ImageMemory to = network_.images(0);
    Training::copy(device_, static_cast<const char*>(crops), static_cast<char*>(to.data), static_cast<Index>(to.bytes));
    return network_.forward();
  }
  /// Unit prototypes, as in the step's loss.
  Bank& bank() { return bank_; }
  /// Takes its weights and running statistics.
  void start_as(Network& followed, const Bank& bank) {
    for (std::size_t i = 0; i < network_.parameters().size(); ++i) {
      const std::span<float> from = followed.parameters()[i].value;
      Training::copy(device_, from.data(), network_.parameters()[i].value.data(), static_cast<Index>(from.size()));
    }
    Training::copy(device_, bank.weights().data, bank_.weights().data, bank.weights().size());
  }
  /// Moves every parameter, prototypes too, to momentum x itself + (1 - momentum) x the followed one.
  void follow(Network& followed, const Bank& bank) {
    for (std::size_t i = 0; i < network_.parameters().size(); ++i) {
      const NamedTensor& fast = followed.parameters()[i];
      if (fast.gradient.empty()) continue;
      Training::average(device_, network_.parameters()[i].value.data(), fast.value.data(),
                        static_cast<Index>(fast.value.size()), momentum_);
    }
    Training::average(device_, bank_.weights().data, bank.weights().data, bank.weights().size(), momentum_);
  }

  /// Its tensors have the followed network's names.
  [[nodiscard]] Network& network() { return network_; }

 private:
  Device device_;
  Network network_;
  Bank bank_;
  float momentum_;
};

}  // namespace swav::resnet
