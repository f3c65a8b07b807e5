// Features in batches, in parallel over images, and the two classifiers of the library. In: network and data. Out:
// accuracies.
#include "train/evaluation.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "swav/evaluate/knn.hpp"
#include "swav/evaluate/linear_probe.hpp"

namespace swav::resnet {
namespace {

constexpr KnnOptions knn_options{.neighbors = 20, .temperature = 0.07};

// A whole image, planar and normalised: what an evaluation sees.
void normalize_planar(const ImageSet& images, Index i, const Normalization& normalization, float* out) {
  const Index plane = images.height * images.width;
  const std::uint8_t* pixels = images.image(i).data;
  for (Index c = 0; c < images.channels; ++c) {
    const auto channel = static_cast<std::size_t>(c);
    const auto scale = static_cast<float>(1 / (255 * normalization.std[channel]));
    const auto shift = static_cast<float>(normalization.mean[channel] / normalization.std[channel]);
    for (Index p = 0; p < plane; ++p)
      out[c * plane + p] = static_cast<float>(pixels[p * images.channels + c]) * scale - shift;
  }
}

RowMatrix<float> features_of(FeatureExtractor& extractor, Index batch, const ImageSet& images,
                             const Normalization& normalization) {
  RowMatrix<float> result(images.count(), extractor.feature_dimension());
  float* const input = extractor.input().data();
  for (Index first = 0; first < images.count(); first += batch) {
    const Index count = std::min(batch, images.count() - first);
#pragma omp parallel for schedule(static)
    for (Index b = 0; b < count; ++b)
      normalize_planar(images, first + b, normalization, input + b * images.image_size());
    const MatrixView<const float> features = extractor.features();
    for (Index b = 0; b < count; ++b)
      std::memcpy(result.row(first + b).data(), features.row(b), static_cast<std::size_t>(features.cols) * 4);
  }
  return result;
}

}  // namespace

Features extract_features(Network& network, Precision precision, const Dataset& data) {
  const Index batch = std::min<Index>(250, std::max(data.training.count(), data.test.count()));
  FeatureExtractor extractor(network, {batch, static_cast<int>(data.training.height)}, precision);
  extractor.refresh();
  return {features_of(extractor, batch, data.training, data.normalization),
          features_of(extractor, batch, data.test, data.normalization)};
}

Accuracies evaluate_features(const Features& features, const Dataset& data, int threads) {
  const EigenDevice device(threads);
  return {.knn = KnnClassifier<float>(knn_options, device)
                     .accuracy(features.training, data.training.labels, features.test, data.test.labels),
          .linear = LinearProbe<float>({}, device)
                        .accuracy(features.training, data.training.labels, features.test, data.test.labels)};
}

std::string evaluation_protocol(const Dataset& data) {
  return "backbone features in evaluation mode; learned from all " + std::to_string(data.training.count()) +
         " training images, measured on all " + std::to_string(data.test.count()) +
         " test images; k-NN: cosine, k 20, temperature 0.07; linear: softmax regression on standardised features";
}

}  // namespace swav::resnet
