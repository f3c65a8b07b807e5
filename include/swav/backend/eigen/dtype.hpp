// How Eigen's 16-bit types are stored. In: Eigen::half, Eigen::bfloat16. Out: their Dtype.
#pragma once

#include <Eigen/Core>

#include "swav/io/dtype.hpp"

namespace swav {

template <>
struct DtypeOf<Eigen::half> {
  static constexpr Dtype value = Dtype::f16;
};

template <>
struct DtypeOf<Eigen::bfloat16> {
  static constexpr Dtype value = Dtype::bf16;
};

}  // namespace swav
