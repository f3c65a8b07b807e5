// Features in batches, in parallel over images, and the two classifiers of the library. In: network and data. Out:
// accuracies.
#include "train/evaluation.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "swav/core/error.hpp"
#include "swav/crops/multi_crop.hpp"
#include "swav/evaluate/knn.hpp"
#include "swav/evaluate/linear_probe.hpp"
#include "train/image_feed.hpp"
#include "train/parallel_images.hpp"

namespace swav::resnet {
namespace {

constexpr KnnOptions knn_options{.neighbors = 20, .temperature = 0.07};

// As ImageNet is evaluated: 224 pixels of 256.
Index resized_side(const ImageSource& images, Index size) {
  return images.side() > 0 ? size : static_cast<Index>(std::lround(static_cast<double>(size) * 256 / 224));
}

// Images that go through the network together: some 4 million pixels a channel.
Index batch_of(Index images, Index size) {
  return std::min({Index{250}, std::max<Index>(1, (Index{1} << 22) / (size * size)), images});
}

/// Images that go through the network together, and which of them could be read.
struct Batch {
  Index first = 0;
  std::vector<char> is_read = {};
};

void collect(FeatureExtractor& extractor, const Batch& batch, const ImageSource& images, PartFeatures& result) {
  const MatrixView<const float> features = extractor.features();
  for (std::size_t b = 0; b < batch.is_read.size(); ++b) {
    if (!batch.is_read[b]) continue;
    const Index image = batch.first + static_cast<Index>(b);
    std::copy_n(features.row(static_cast<Index>(b)), features.cols,
                result.rows.row(static_cast<Index>(result.images.size())).data());
    result.images.push_back(image);
    if (!images.labels.empty()) result.labels.push_back(images.labels[static_cast<std::size_t>(image)]);
  }
}

// A GPU is at one batch while the next is read.
PartFeatures features_of(FeatureExtractor& extractor, Index batch_size, Index size, const ImageSource& images,
                         const Normalization& normalization) {
  PartFeatures result;
  result.rows.resize(images.count(), extractor.feature_dimension());
  std::vector<std::unique_ptr<ImageReader>> readers;
  for (int thread = 0; thread < omp_get_max_threads(); ++thread) readers.push_back(images.reader());
  const Index resize = resized_side(images, size);
  const std::unique_ptr<ImageFeed> feed =
      make_feed(extractor.processor(), {extractor.images(), batch_size, images.channels(), size, normalization});
  Batch computed, next;
  for (Index first = 0; first < images.count(); first += batch_size) {
    next.first = first;
    next.is_read.assign(static_cast<std::size_t>(std::min(batch_size, images.count() - first)), 0);
    for_each_image(std::ssize(next.is_read), [&](Index b, std::size_t thread) {
      const ImageView<std::uint8_t> image = readers[thread]->read(first + b);
      if (image.data == nullptr) return;
      feed->put(b, image, center_crop(image.height, image.width, resize, size));
      next.is_read[static_cast<std::size_t>(b)] = 1;
    });
    if (first > 0) collect(extractor, computed, images, result);
    feed->finish();
    extractor.compute();
    std::swap(computed, next);
  }
  collect(extractor, computed, images, result);
  if (static_cast<Index>(result.images.size()) < images.count())
    result.rows.conservativeResize(static_cast<Index>(result.images.size()), Eigen::NoChange);
  return result;
}

}  // namespace

Index evaluation_size(const Dataset& data, const TrainOptions& options) {
  return data.training->side() > 0 ? data.training->side() : options.large_size;
}

ImageCounts image_counts(const Dataset& data) {
  return {.training = data.training->count(), .test = data.test ? data.test->count() : 0};
}

ImageCounts image_counts(const Features& features) {
  return {.training = features.training.rows.rows(), .test = features.test.rows.rows()};
}

std::string why_no_accuracies(const Dataset& data, const ImageCounts& read) {
  if (!data.has_classes()) return "they need training and test images with classes";
  if (read.training < knn_options.neighbors)
    return detail::concatenate(read.training, " training images that can be read found, ", knn_options.neighbors,
                               " or more wanted");
  if (read.test == 0) return "no test image that can be read found, 1 or more wanted";
  return "";
}

PartFeatures extract_part(Network& network, Precision precision, const ImageSource& images,
                          const Normalization& normalization, Index size) {
  const Index batch = batch_of(images.count(), size);
  FeatureExtractor extractor(network, {batch, static_cast<int>(size)}, precision);
  return features_of(extractor, batch, size, images, normalization);
}

Features extract_features(Network& network, Precision precision, const Dataset& data, Index size) {
  const Index batch = batch_of(std::max(image_counts(data).training, image_counts(data).test), size);
  FeatureExtractor extractor(network, {batch, static_cast<int>(size)}, precision);
  extractor.refresh();
  Features features{.training = features_of(extractor, batch, size, *data.training, data.normalization)};
  if (data.has_classes()) features.test = features_of(extractor, batch, size, *data.test, data.normalization);
  return features;
}

Accuracies evaluate_features(const PartFeatures& training, const PartFeatures& test, int threads) {
  const EigenDevice device(threads);
  return {
      .knn = KnnClassifier<float>(knn_options, device).accuracy(training.rows, training.labels, test.rows, test.labels),
      .linear = LinearProbe<float>({}, device).accuracy(training.rows, training.labels, test.rows, test.labels)};
}

std::string features_protocol(const ImageSource& images, Index size) {
  const std::string pixels = std::to_string(size);
  const std::string what = images.side() > 0
                               ? "whole images"
                               : "the middle " + pixels + " x " + pixels + " pixels of images resized to " +
                                     std::to_string(resized_side(images, size));
  return "backbone features of " + what + " in evaluation mode";
}

std::string evaluation_protocol(const Dataset& data, Index size, const ImageCounts& read) {
  const auto share = [](Index part, Index all) {
    return part == all ? "all " + std::to_string(all) : std::to_string(part) + " of " + std::to_string(all);
  };
  const ImageCounts all = image_counts(data);
  return features_protocol(*data.training, size) + "; learned from " + share(read.training, all.training) +
         " training images, measured on " + share(read.test, all.test) +
         " test images; k-NN: cosine, k 20, temperature 0.07; linear: softmax regression on standardised features";
}

}  // namespace swav::resnet
