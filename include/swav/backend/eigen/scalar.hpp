// Eigen's 16-bit storage types as scalars of the library. In: Eigen::half, Eigen::bfloat16. Out: their ScalarTraits.
#pragma once

#include <Eigen/Core>

#include "swav/core/scalar_traits.hpp"

namespace swav {

template <>
struct ScalarTraits<Eigen::half> {
  using accumulator = float;
  static constexpr bool stores_kernel = false;
};

template <>
struct ScalarTraits<Eigen::bfloat16> {
  using accumulator = float;
  static constexpr bool stores_kernel = true;
};

}  // namespace swav
