// Class labels and how many are right. In: one label a sample. Out: a check, the number of classes, an accuracy.
#pragma once

#include <algorithm>

#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav {

/// The part of `predictions` that equals `labels`, in [0, 1]. Throws InvalidInput unless both have the same size, 1 or
/// more.
[[nodiscard]] inline double accuracy(VectorView<const int> predictions, VectorView<const int> labels) {
  detail::require(predictions.size > 0 && predictions.size == labels.size, "labels: ", labels.size, " found, ",
                  predictions.size, " (one a prediction, at least one) wanted");
  Index right = 0;
  for (Index i = 0; i < labels.size; ++i) right += predictions[i] == labels[i];
  return static_cast<double>(right) / static_cast<double>(labels.size);
}

namespace detail {

/// Throws InvalidInput unless there is a label a row, each from 0 to 999,999. Returns the number of classes, which is
/// the largest label plus 1.
inline int check_labels(const char* name, VectorView<const int> labels, Index rows) {
  constexpr int most = 1'000'000;
  require(labels.size == rows, name, ": ", labels.size, " labels found, ", rows, " (one a row of features) wanted");
  int classes = 0;
  for (const int label : labels) {
    require(label >= 0 && label < most, name, ": the label ", label, " found, 0 to ", most - 1, " wanted");
    classes = std::max(classes, label + 1);
  }
  return classes;
}

}  // namespace detail
}  // namespace swav
