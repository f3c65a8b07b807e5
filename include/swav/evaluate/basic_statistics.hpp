// How embeddings spread and how prototypes are used, free of any backend. In: features, prototypes. Out: the numbers
// that show a collapse. Users include swav/evaluate/statistics.hpp, which adds the CPU backend.
#pragma once

#include <cmath>
#include <concepts>
#include <vector>

#include "swav/core/device.hpp"
#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/evaluate/passes.hpp"

namespace swav {

/// What feature_spread keeps between calls.
template <class Device = EigenDevice>
using SpreadWorkspace = typename StatisticsPasses<Device>::Workspace;

/// The mean over dimensions of the standard deviation of unit rows: about 1/sqrt(D) when the features (n x D) fill the
/// sphere, 0 when they have collapsed to a point (Chen and He, "Exploring simple Siamese representation learning",
/// 2021, section 4.1). Throws InvalidInput if empty or not finite. O(n D). Calls with the same workspace allocate
/// nothing after the first of a shape.
template <std::floating_point Scalar, class Device>
[[nodiscard]] double feature_spread(MatrixView<const Scalar> features, const Device& device,
                                    SpreadWorkspace<Device>& workspace) {
  detail::check_view("features", features);
  detail::require(features.rows >= 1 && features.cols >= 1, "features: ", features.rows, " x ", features.cols,
                  " found, 1 row and 1 column or more wanted");
  const double spread = StatisticsPasses<Device>::template spread<Scalar>(device, features, workspace);
  detail::require(std::isfinite(spread), "features: a value that is not finite found, finite values wanted");
  return spread;
}

/// The same with a workspace of its own.
template <std::floating_point Scalar, class Device = EigenDevice>
[[nodiscard]] double feature_spread(MatrixView<const Scalar> features, const Device& device = Device{}) {
  SpreadWorkspace<Device> workspace;
  return feature_spread<Scalar>(features, device, workspace);
}

/// The prototype of largest score for each row: embeddings is n x D, of any length a row, prototypes K x D with unit
/// rows. Throws InvalidInput on other shapes and on entries that are not finite. O(n K D), never holding n x K.
template <std::floating_point Scalar, class Device = EigenDevice>
[[nodiscard]] std::vector<int> assign_prototypes(MatrixView<const Scalar> embeddings,
                                                 MatrixView<const Scalar> prototypes, const Device& device = Device{}) {
  detail::check_view("embeddings", embeddings);
  detail::check_view("prototypes", prototypes);
  detail::require(prototypes.rows >= 1 && prototypes.cols >= 1, "prototypes: ", prototypes.rows, " x ", prototypes.cols,
                  " found, 1 row and 1 column or more wanted");
  detail::require(embeddings.rows >= 1 && embeddings.cols == prototypes.cols, "embeddings: ", embeddings.rows, " x ",
                  embeddings.cols, " found, 1 row or more x ", prototypes.cols, " wanted");
  std::vector<int> assignments(static_cast<std::size_t>(embeddings.rows));
  const bool finite =
      StatisticsPasses<Device>::template assign<Scalar>(device, embeddings, prototypes, assignments.data());
  detail::require(finite, "embeddings, prototypes: a score that is not finite found, finite values wanted");
  return assignments;
}

/// How samples are shared out among the prototypes.
struct PrototypeUsage {
  std::vector<Index> counts;  ///< samples a prototype
  Index used = 0;             ///< prototypes with a sample
  double entropy = 0;         ///< of the shares, in nats: 0 to ln K
  double perplexity = 1;      ///< exp(entropy): as many prototypes, used evenly, would give this entropy
};

/// Counts assignments, each from 0 to prototypes - 1. Throws InvalidInput on others, and if there are none. O(n + K).
[[nodiscard]] inline PrototypeUsage prototype_usage(VectorView<const int> assignments, Index prototypes) {
  detail::require(prototypes >= 1, "prototypes: ", prototypes, " found, 1 or more wanted");
  detail::require(assignments.size >= 1, "assignments: none found, 1 or more wanted");
  PrototypeUsage usage;
  usage.counts.resize(static_cast<std::size_t>(prototypes));
  for (const int prototype : assignments) {
    detail::require(prototype >= 0 && prototype < prototypes, "assignments: ", prototype, " found, 0 to ",
                    prototypes - 1, " wanted");
    ++usage.counts[static_cast<std::size_t>(prototype)];
  }
  for (const Index count : usage.counts) {
    if (count == 0) continue;
    ++usage.used;
    const double share = static_cast<double>(count) / static_cast<double>(assignments.size);
    usage.entropy -= share * std::log(share);
  }
  usage.perplexity = std::exp(usage.entropy);
  return usage;
}

}  // namespace swav
