// What a Sinkhorn run is told. In: the user's choices. Out: checked values.
#pragma once

#include <cmath>

#include "swav/core/error.hpp"

namespace swav {

/// Where the iterations are computed.
/// - scaling: with the Gibbs kernel exp((S - max S)/epsilon) and factors u, v: fast, and exact as long as
///   (max S - min S)/epsilon fits the scalar's exponent range (about 80 in float, 700 in double).
/// - log: with potentials and log-sum-exp: any finite scores and any epsilon > 0, several times slower.
/// - automatic: scaling where the range allows it, else log.
enum class Stabilization { automatic, scaling, log };

struct SinkhornOptions {
  /// Entropy, in units of the scores; > 0. SwAV uses 0.05, and 0.03 against collapse.
  double epsilon = 0.05;
  /// Iterations, each one update of the prototypes' factors and one of the samples'; >= 1. SwAV uses 3.
  int max_iterations = 3;
  Stabilization stabilization = Stabilization::automatic;
};

namespace detail {

inline void check(const SinkhornOptions& options) {
  require(std::isfinite(options.epsilon) && options.epsilon > 0, "SinkhornOptions.epsilon: ", options.epsilon,
          " found, a finite value > 0 wanted");
  require(options.max_iterations >= 1, "SinkhornOptions.max_iterations: ", options.max_iterations,
          " found, 1 or more wanted");
}

}  // namespace detail
}  // namespace swav
