// One step over several batches: what has to be kept of each. In: batches of crops, embeddings, gradients, one at a
// time. Out: the crops again, the embeddings of all, the mean gradient.
#pragma once

#include <span>
#include <vector>

#include "model/network.hpp"
#include "swav/backend/eigen/device.hpp"

namespace swav::resnet {

/// Codes have to be of all batches together, and the embeddings they are of are known only once every batch has gone
/// through the network: each goes through twice (the last one once), first for its embeddings alone. Crops are kept in
/// between, one batch's worth of memory each; running statistics are put back, so that they count a batch once.
class Accumulation {
 public:
  /// Memory for `batches` of the network's inputs, of `views` x `samples` embeddings each.
  Accumulation(Network& network, Index batches, Index views, Index samples, Index dimension);

  [[nodiscard]] Index batches() const { return static_cast<Index>(inputs_.size()); }
  /// Where the crops of a batch go, an entry a group.
  [[nodiscard]] std::span<float* const> inputs(Index batch) { return pointers_[static_cast<std::size_t>(batch)]; }
  [[nodiscard]] std::span<const float> input(Index batch, std::size_t group) const {
    return inputs_[static_cast<std::size_t>(batch)][group];
  }
  /// Copies a batch's crops to the network.
  void feed(Network& network, Index batch) const;

  void save_statistics(Network& network);
  void restore_statistics(Network& network) const;

  /// Keeps the first `views` views of a batch's embeddings among those of all.
  void keep_embeddings(Index batch, MatrixView<const float> z);
  /// View-major, the samples of all batches a view.
  [[nodiscard]] MatrixView<const float> embeddings() const { return embeddings_; }

  /// Adds the share of the network's and the prototypes' gradients that one batch has.
  void add_gradients(Network& network, VectorView<const float> grad_prototypes);
  /// Writes the sums where the gradients are, and starts anew.
  void take_gradients(Network& network, VectorView<float> grad_prototypes);

 private:
  Index samples_;
  std::vector<std::vector<std::vector<float>>> inputs_;  // of a batch, of a group
  std::vector<std::vector<float*>> pointers_;
  std::vector<std::vector<float>> statistics_, gradients_;  // a tensor each; the last gradient is the prototypes'
  RowMatrix<float> embeddings_;
};

}  // namespace swav::resnet
