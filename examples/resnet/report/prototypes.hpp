// What prototypes have come to stand for. In: features, the projection head, a bank. Out: each prototype's share of the
// images, their classes, and the images nearest to it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "swav/backend/eigen/device.hpp"
#include "train/learner.hpp"

namespace swav::resnet {

struct PrototypeUse {
  Index prototype = 0;
  Index images = 0;            // whose nearest prototype it is
  int main_class = -1;         // the most frequent among them, -1 without any
  double main_share = 0;       // its share of them
  std::vector<Index> nearest;  // the embeddings' rows with the highest scores, best first
};

/// The network's projection head in evaluation mode: features (N x F) to unit embeddings (N x D).
[[nodiscard]] RowMatrix<float> project(Network& network, MatrixView<const float> features);

/// One entry a prototype, in the bank's order; `labels` has an entry an image, or none. O(N K D).
[[nodiscard]] std::vector<PrototypeUse> prototype_use(MatrixView<const float> embeddings,
                                                      MatrixView<const float> prototypes, std::span<const int> labels,
                                                      Index nearest);

}  // namespace swav::resnet
