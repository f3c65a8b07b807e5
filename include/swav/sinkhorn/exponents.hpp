// Numbers that all backends of the solver take alike: sums of exponentials, which exponentials are normal
// numbers, a divergence's term. In: a type, a number. Out: limits; the term.
#pragma once

#include <cmath>
#include <limits>

#include "swav/core/host_device.hpp"

namespace swav::detail {

/// A sum of exponentials of some scale: sum times exp(scale largest).
template <class L>
struct LogSum {
  L largest{}, sum{};
};

/// 1/epsilon, finite for any epsilon > 0: what it multiplies is 0 or clamped.
template <class L>
[[nodiscard]] SWAV_HOST_DEVICE L inverse_of(L epsilon) {
  const L most = std::numeric_limits<L>::max();
  return L(1) / epsilon < most ? L(1) / epsilon : most;
}

/// Exponentials of less are not normal numbers, and are taken for 0.
template <class T>
[[nodiscard]] SWAV_HOST_DEVICE constexpr T lowest_exponent() {
  return static_cast<T>(0.6931L * (std::numeric_limits<T>::min_exponent + 1));
}

/// (1 + d) log(1 + d) - d without cancellation.
template <class L>
[[nodiscard]] SWAV_HOST_DEVICE L relative_divergence(L d) {
  if (std::abs(d) < L(1e-3)) return d * d * (L(1) / 2 - d * (L(1) / 6 - d * (L(1) / 12 - d / 20)));
  return d > L(-1) ? (1 + d) * std::log1p(d) - d : L(1);
}

}  // namespace swav::detail
