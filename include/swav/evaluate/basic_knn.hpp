// The weighted nearest-neighbour classifier, free of any backend. In: features and labels. Out: predictions, accuracy.
// Users include swav/evaluate/knn.hpp, which adds the CPU backend.
#pragma once

#include <cmath>
#include <concepts>
#include <utility>
#include <vector>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/evaluate/labels.hpp"
#include "swav/evaluate/passes.hpp"

namespace swav {

struct KnnOptions {
  Index neighbors = 20;       ///< at most the number of train rows
  double temperature = 0.07;  ///< above 0; smaller weighs the nearest more
};

/// k-NN by cosine similarity with weights exp(similarity / temperature) (Wu et al., "Unsupervised feature learning via
/// non-parametric instance discrimination", 2018), in DINO's protocol: k 20, temperature .07. Rows are normalised here;
/// features come from the network in evaluation mode. Time O(test x train x dimension); memory O(threads), whatever the
/// sizes. The result does not depend on the number of threads.
template <std::floating_point Scalar, class Device = EigenDevice>
class KnnClassifier {
 public:
  /// Throws InvalidInput unless neighbors >= 1 and temperature is finite and above 0.
  explicit KnnClassifier(KnnOptions options = {}, Device device = Device{})
      : options_(options), device_(std::move(device)) {
    detail::require(options.neighbors >= 1, "neighbors: ", options.neighbors, " found, 1 or more wanted");
    detail::require(std::isfinite(options.temperature) && options.temperature > 0, "temperature: ", options.temperature,
                    " found, a finite number above 0 wanted");
  }

  /// A class for each test row. train_features is n x D with n >= neighbors, test_features m x D with m >= 1; labels
  /// are 0 or more. Throws InvalidInput on other shapes and on entries that are not finite.
  [[nodiscard]] std::vector<int> predict(MatrixView<const Scalar> train_features, VectorView<const int> train_labels,
                                         MatrixView<const Scalar> test_features) const {
    detail::check_view("train_features", train_features);
    detail::check_view("test_features", test_features);
    detail::require(train_features.rows >= options_.neighbors && train_features.cols >= 1,
                    "train_features: ", train_features.rows, " x ", train_features.cols, " found, ", options_.neighbors,
                    " (neighbors) rows or more, 1 column or more wanted");
    detail::require(test_features.rows >= 1 && test_features.cols == train_features.cols,
                    "test_features: ", test_features.rows, " x ", test_features.cols, " found, 1 row or more x ",
                    train_features.cols, " wanted");
    detail::check_labels("train_labels", train_labels, train_features.rows);
    std::vector<int> predictions(static_cast<std::size_t>(test_features.rows));
    const bool finite =
        KnnPasses<Device>::template classify<Scalar>(device_, train_features, train_labels, test_features,
                                                     options_.neighbors, options_.temperature, predictions.data());
    detail::require(finite, "features: a value that is not finite found, finite values wanted");
    return predictions;
  }

  /// The part of the test rows whose predicted class is their label, in [0, 1].
  [[nodiscard]] double accuracy(MatrixView<const Scalar> train_features, VectorView<const int> train_labels,
                                MatrixView<const Scalar> test_features, VectorView<const int> test_labels) const {
    detail::check_labels("test_labels", test_labels, test_features.rows);
    return swav::accuracy(predict(train_features, train_labels, test_features), test_labels);
  }

 private:
  KnnOptions options_;
  Device device_;
};

}  // namespace swav
