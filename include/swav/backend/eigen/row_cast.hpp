// Conversion of rows between storage types and accumulators. In: numbers of one type. Out: the same of another.
#pragma once

#include <Eigen/Core>
#include <bit>
#include <cstdint>

#include "swav/backend/eigen/device.hpp"

namespace swav::detail {

/// to[j] = from[j] in the other type.
template <class From, class To>
void cast_row(const From* from, Index count, To* to) {
  ArrayMap<To>(to, count) = ConstArrayMap<From>(from, count).template cast<To>();
}

// A bfloat16 is the upper half of a float. Eigen 3.4 converts one at a time; these loops become vector instructions.
inline void cast_row(const Eigen::bfloat16* from, Index count, float* to) {
  const auto* const bits = &from->value;
  for (Index j = 0; j < count; ++j) to[j] = std::bit_cast<float>(std::uint32_t{bits[j]} << 16);
}
/// Rounds to nearest, ties to even; `from` has no NaN.
inline void cast_row(const float* from, Index count, Eigen::bfloat16* to) {
  auto* const bits = &to->value;
  for (Index j = 0; j < count; ++j) {
    const auto whole = std::bit_cast<std::uint32_t>(from[j]);
    bits[j] = static_cast<std::uint16_t>((whole + 0x7fffU + ((whole >> 16) & 1U)) >> 16);
  }
}

}  // namespace swav::detail
