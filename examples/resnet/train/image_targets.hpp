// DeepCluster-v2 and SeLa-v2: a code an image, found once an epoch over the whole data set (Caron et al. 2020,
// appendix, and the release's DeepCluster-v2). In: the embeddings of an epoch's steps. Out: the codes of a batch in the
// next.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "swav/loss/code_source.hpp"
#include "train/loss_device.hpp"
#include "train/options.hpp"
#include "train/state_tensor.hpp"

namespace swav::resnet {

/// Keeps the latest embedding of every image that an epoch's steps have seen, in each view of crops_for_assign; head h
/// uses those of view h mod |A|. Before an epoch every image gets one target a head:
/// - deepcluster-v2: its cluster by spherical k-means, 10 iterations from k-means++; the centres become the prototypes,
///   which no gradient moves.
/// - sela-v2: the arg max of its code by Sinkhorn over all embeddings at once; the prototypes are learned.
/// An image that the last epoch's steps left out gets the prototype nearest to its present embedding (the release
/// leaves it out of the loss).
///
/// Memory: |A| images x D for the embeddings; sela-v2 twice images x K beside them while it assigns.
class ImageTargets {
 public:
  /// `images`: all there are; `stored`: those an epoch's steps see.
  ImageTargets(const TrainOptions& options, Index images, Index stored);

  /// Unit rows of a batch's embeddings (view-major), at the batch's place in the epoch.
  void store(Index first, std::span<const Index> images, MatrixView<const float> z);
  /// Targets for the epoch, from all that is stored; deepcluster-v2 writes the bank.
  void assign(Index epoch, Bank& bank);
  /// One-hot codes of a batch, all views alike; valid until the next call.
  const ViewCodes<float, LossDevice>& codes(std::span<const Index> images, MatrixView<const float> z, const Bank& bank);

  /// The whole state: "image_targets.embeddings", ".images" (which image is at which place) and ".targets".
  [[nodiscard]] std::vector<StateTensor> state();

 private:
  [[nodiscard]] MatrixView<const float> stored(std::size_t head) const;
  [[nodiscard]] std::vector<int> clusters(std::size_t head, Index epoch, Bank& bank) const;
  [[nodiscard]] std::vector<int> balanced(std::size_t head, const Bank& bank) const;

  TrainOptions options_;
  std::vector<Index> heads_;
  Index images_, stored_;
  RowMatrix<float> embeddings_;           // (|A| stored) x D
  std::vector<float> numbers_, targets_;  // of the image at a place; (heads x images), -1 for none
  ViewCodes<float, LossDevice> codes_;
};

}  // namespace swav::resnet
