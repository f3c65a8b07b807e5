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

/// How many images there are, or how many of them could be read.
struct ImageCounts {
  Index training = 0;
  Index test = 0;
};
[[nodiscard]] ImageCounts image_counts(const Dataset& data);
[[nodiscard]] ImageCounts image_counts(const Features& features);

/// Why accuracies cannot be measured when so many images are read, "" where they can.
[[nodiscard]] std::string why_no_accuracies(const Dataset& data, const ImageCounts& read);

struct Accuracies {
  double knn = 0;  // shares of the test images
  double linear = 0;
};

/// The side at which images are evaluated: their own if they are squares of one size, else that of the large crops.
[[nodiscard]] Index evaluation_size(const Dataset& data, const TrainOptions& options);

/// Backbone features in evaluation mode, computed in the network's precision: of whole images, or, where they differ in
/// size, of the middle size x size pixels after their shorter side is resized to 8/7 of it. Test images are left out
/// where classes are missing.
[[nodiscard]] Features extract_features(Network& network, Precision precision, const Dataset& data, Index size);

/// The same of one part, with classes or without.
[[nodiscard]] PartFeatures extract_part(Network& network, Precision precision, const ImageSource& images,
                                        const Normalization& normalization, Index size);

/// k-NN (20 neighbours, temperature 0.07, cosine) and a linear classifier on standardised features, both learned from
/// `training` and measured on `test`.
[[nodiscard]] Accuracies evaluate_features(const PartFeatures& training, const PartFeatures& test, int threads);

/// What features are made of, as the beginning of such a line.
[[nodiscard]] std::string features_protocol(const ImageSource& images, Index size);

/// One line that says how the accuracies are measured, and on how many images.
[[nodiscard]] std::string evaluation_protocol(const Dataset& data, Index size, const ImageCounts& read);

}  // namespace swav::resnet
