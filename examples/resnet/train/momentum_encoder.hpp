// A second network and bank that follow the learning ones slowly; codes are of their embeddings (MoCo's encoder, as
// VISSL joins it to SwAV). In: what learns, large crops. Out: embeddings that nothing flows back through.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/network.hpp"
#include "train/loss_device.hpp"

namespace swav::resnet {

/// In training mode: batch norm takes the statistics of the large crops, which alone go through it, and moves running
/// ones of its own.
class MomentumEncoder {
 public:
  /// Starts as what it follows; `crops` are the large ones, of each of `ranks` as many. `momentum` in [0, 1): how much
  /// of itself it keeps a step.
  MomentumEncoder(Network& followed, const Bank& bank, ImageGroup crops, Precision precision, double momentum,
                  LossDevice device, RankGroup ranks = {});

  /// Embeddings of crops in the layout of the followed network's first input; valid until the next call.
  MatrixView<const float> embed(std::span<const float> crops);
  /// Unit prototypes, as in the step's loss.
  Bank& bank() { return bank_; }
  /// Takes its weights and running statistics.
  void start_as(Network& followed, const Bank& bank);
  /// Moves every parameter, prototypes too, to momentum x itself + (1 - momentum) x the followed one.
  void follow(Network& followed, const Bank& bank);

  /// The state, under the followed network's names.
  [[nodiscard]] std::vector<NamedTensor>& tensors() { return network_.tensors(); }

 private:
  Network network_;
  Bank bank_;
  float momentum_;
};

}  // namespace swav::resnet
