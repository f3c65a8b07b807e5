// Classifiers from and to files. In: a file or weights. Out: the other.
#include "export/classifier.hpp"

#include <cmath>
#include <numbers>

#include "swav/core/error.hpp"
#include "swav/core/philox.hpp"

namespace swav::resnet {

Classifier zero_classifier(Index classes, Index features) {
  detail::require(classes >= 1, "--classes: ", classes, " found, 1 or more wanted");
  return {classes, features, std::vector<float>(static_cast<std::size_t>(classes * features)),
          std::vector<float>(static_cast<std::size_t>(classes))};
}

Classifier random_classifier(Index classes, Index features, std::uint64_t seed) {
  Classifier classifier = zero_classifier(classes, features);
  constexpr std::uint64_t purpose = 0x6663ULL;  // a key of its own, beside those of crops and orders
  PhiloxStream random(seed ^ (purpose << 32), 0);
  for (float& weight : classifier.weight) {
    const double radius = 0.01 * std::sqrt(-2 * std::log(1 - random.uniform()));
    weight = static_cast<float>(radius * std::cos(2 * std::numbers::pi * random.uniform()));
  }
  return classifier;
}

Classifier stored_classifier(const StoredNetwork& network) {
  const StoredNetwork::Tensor& weight = network["fc.weight"];
  return {weight.shape[0], weight.shape[1], weight.values, network["fc.bias"].values};
}

Classifier read_classifier(const std::string& path, Index features) {
  const SafetensorsFile file(path);
  const std::vector<Index> shape = file.at("fc.weight").shape;
  if (shape.size() != 2 || shape[0] < 1 || shape[1] != features)
    throw FileError(path, "its fc.weight is for other features, classes x " + std::to_string(features) + " wanted");
  Classifier classifier = zero_classifier(shape[0], features);
  file.read("fc.weight", VectorView<float>(classifier.weight));
  file.read("fc.bias", VectorView<float>(classifier.bias));
  return classifier;
}

void write_classifier(const std::string& path, const Classifier& classifier) {
  const std::vector<StoredTensor> tensors{
      stored_tensor<float>("fc.weight", {classifier.classes, classifier.features}, classifier.weight),
      stored_tensor<float>("fc.bias", {classifier.classes}, classifier.bias)};
  write_safetensors(path, tensors, {{"format", "pt"}});
}

}  // namespace swav::resnet
