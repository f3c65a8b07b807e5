// What the swapped-prediction loss is told. In: the user's choices. Out: checked values.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "swav/core/matrix_view.hpp"
#include "swav/sinkhorn/options.hpp"

namespace swav {

/// What the rows handed to the loss are.
/// - raw: the network's output; the loss normalises each row and differentiates through the normalisation.
/// - unit: already of length 1; used as they are, and the gradient is with respect to them.
enum class Embeddings { raw, unit };

/// What the bank's rows are.
/// - unit: used as they are; the caller normalises the bank before each forward pass (SwAV's way).
/// - raw: the loss normalises a copy of them and differentiates through the normalisation.
enum class Prototypes { unit, raw };

struct SwappedPredictionOptions {
  /// tau of softmax(z C^T / tau); > 0.
  double temperature = 0.1;
  /// The views whose codes the other views predict (A in the equations): distinct, each in [0, views).
  std::vector<int> crops_for_assign = {0, 1};
  Embeddings embeddings = Embeddings::raw;
  Prototypes prototypes = Prototypes::unit;
  /// How the scores of a view become its codes.
  SinkhornOptions sinkhorn = {};
};

namespace detail {

inline void check_temperature(double temperature) {
  require(std::isfinite(temperature) && temperature > 0, "SwappedPredictionOptions.temperature: ", temperature,
          " found, a finite value > 0 wanted");
}

inline void check(const SwappedPredictionOptions& options) {
  check_temperature(options.temperature);
  require(!options.crops_for_assign.empty(),
          "SwappedPredictionOptions.crops_for_assign: no view found, at least one wanted");
  std::vector<int> sorted = options.crops_for_assign;
  std::sort(sorted.begin(), sorted.end());
  require(sorted.front() >= 0, "SwappedPredictionOptions.crops_for_assign: view ", sorted.front(),
          " found, 0 or more wanted");
  const auto twin = std::adjacent_find(sorted.begin(), sorted.end());
  require(twin == sorted.end(), "SwappedPredictionOptions.crops_for_assign: view ", twin == sorted.end() ? 0 : *twin,
          " found twice, distinct views wanted");
  check(options.sinkhorn);
}

}  // namespace detail
}  // namespace swav
