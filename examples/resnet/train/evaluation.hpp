// How good the features are. In: a trained network and a labelled data set. Out: k-NN and linear accuracy, and the
// features, which the report uses again.
#pragma once

#include "data/dataset.hpp"
#include "model/network.hpp"
#include "swav/backend/eigen/device.hpp"

namespace swav::resnet {

struct Features {
  RowMatrix<float> training;  // an image a row
  RowMatrix<float> test;
};

struct Accuracies {
  double knn = 0;  // shares of the test images
  double linear = 0;
};

/// Backbone features of whole images, in evaluation mode, computed in the network's precision.
[[nodiscard]] Features extract_features(Network& network, Precision precision, const Dataset& data);

/// k-NN (20 neighbours, temperature 0.07, cosine) and a linear classifier on standardised features, both learned from
/// all training images and measured on all test images.
[[nodiscard]] Accuracies evaluate_features(const Features& features, const Dataset& data, int threads);

/// One line that says how evaluate_features measures.
[[nodiscard]] std::string evaluation_protocol(const Dataset& data);

}  // namespace swav::resnet
