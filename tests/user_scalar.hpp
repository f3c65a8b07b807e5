// A scalar of a user's own, with all that the library asks of one. In: floating-point numbers. Out: swav::test::Fixed.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>

#include "swav/core/scalar_traits.hpp"

namespace swav::test {

/// Fixed point: multiples of 2^-24 in [-128, 128), without infinity or NaN.
class Fixed {
 public:
  Fixed() = default;
  template <std::floating_point T>
  explicit Fixed(T x) : bits_(static_cast<std::int32_t>(std::lround(std::ldexp(x, 24)))) {}
  template <std::floating_point T>
  explicit operator T() const {
    return std::ldexp(static_cast<T>(bits_), -24);
  }
  bool operator==(const Fixed&) const = default;

 private:
  std::int32_t bits_ = 0;
};

}  // namespace swav::test

template <>
struct std::numeric_limits<swav::test::Fixed> : std::numeric_limits<float> {};  // digits, is_integer, is_signed

template <>
struct swav::ScalarTraits<swav::test::Fixed> {
  using accumulator = float;
  static constexpr bool stores_kernel = false;
};

TYPE_TO_STRING(swav::test::Fixed);
