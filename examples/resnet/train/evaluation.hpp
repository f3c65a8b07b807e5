// How good the features are. In: a trained network and a labelled data set. Out: k-NN and linear accuracy, and the
// features, which the report uses again.
#pragma once

#include "data/dataset.hpp"
#include "model/network.hpp"
#include "swav/backend/eigen/device.hpp"
#include "train/options.hpp"

namespace swav::resnet {

/// Of the images of one part that could be read.
struct PartFeatures {
  RowMatrix<float> rows = {};
  std::vector<int> labels = {};    // a row each, or none
  std::vector<Index> images = {};  // the number of each row's image
};

struct Features {
  PartFeatures training = {};
  PartFeatures test = {};
};

struct Accuracies {
  double knn = 0;  // shares of the test images
  double linear = 0;
};

/// The side at which images are evaluated: their own if they are squares of one size, else that of the large crops.
[[nodiscard]] Index evaluation_size(const Dataset& data, const TrainOptions& options);

/// Backbone features in evaluation mode, computed in the network's precision: of whole images, or, where they differ in
/// size, of the middle size x size pixels after their shorter side is resized to 8/7 of it.
[[nodiscard]] Features extract_features(Network& network, Precision precision, const Dataset& data, Index size);

/// k-NN (20 neighbours, temperature 0.07, cosine) and a linear classifier on standardised features, both learned from
/// `training` and measured on `test`.
[[nodiscard]] Accuracies evaluate_features(const PartFeatures& training, const PartFeatures& test, int threads);

/// One line that says how the accuracies are measured.
[[nodiscard]] std::string evaluation_protocol(const Dataset& data, Index size);

}  // namespace swav::resnet
