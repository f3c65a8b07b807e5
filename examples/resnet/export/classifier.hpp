// The last layer of a classifier on a backbone's features, torchvision's "fc". In: a file. Out: weights and biases.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/stored_network.hpp"

namespace swav::resnet {

/// scores = weight features + bias; weight is classes x features.
struct Classifier {
  Index classes = 0;
  Index features = 0;
  std::vector<float> weight = {};
  std::vector<float> bias = {};
};

/// All scores are 0 until somebody trains it. Throws InvalidInput for fewer than 1 class.
[[nodiscard]] Classifier zero_classifier(Index classes, Index features);
/// To begin with: weights of N(0, .01^2), biases 0; the same for the same seed. Throws as zero_classifier does.
[[nodiscard]] Classifier random_classifier(Index classes, Index features, std::uint64_t seed);

/// The file's own. It has one.
[[nodiscard]] Classifier stored_classifier(const StoredNetwork& network);

/// From "fc.weight" and "fc.bias" of a safetensors file, as `swav-eval linear --save` writes it. Throws FileError where
/// they are not there, not float, or not for that many features.
[[nodiscard]] Classifier read_classifier(const std::string& path, Index features);

/// A safetensors file of "fc.weight" and "fc.bias".
void write_classifier(const std::string& path, const Classifier& classifier);

}  // namespace swav::resnet
