// How far a result may be from its reference, by scalar type. In: a scalar. Out: bounds used by every typed test.
#pragma once

#include "swav/backend/eigen/scalar.hpp"

namespace swav::test {

/// codes: absolute, on entries of Q in [0, 1]. value: relative, on the loss. gradient: relative to the largest entry.
template <class Scalar>
struct Tolerance;
template <>
struct Tolerance<double> {
  static constexpr double codes = 1e-12, value = 1e-12, gradient = 1e-10;
};
// The references are doubles, which is what bounds this one.
template <>
struct Tolerance<long double> {
  static constexpr double codes = 1e-15, value = 1e-14, gradient = 1e-13;
};
template <>
struct Tolerance<float> {
  static constexpr double codes = 1e-5, value = 2e-6, gradient = 2e-5;
};
template <>
struct Tolerance<Eigen::bfloat16> {
  static constexpr double codes = 8e-3, value = 2e-2, gradient = 5e-2;
};
template <>
struct Tolerance<Eigen::half> {
  static constexpr double codes = 2e-3, value = 2e-3, gradient = 5e-3;
};

}  // namespace swav::test
