// CUDA's 16-bit types as scalars. In: __half, __nv_bfloat16. Out: their traits; sums are in float.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "swav/core/scalar_traits.hpp"

namespace swav {

template <>
struct ScalarTraits<__half> {
  using accumulator = float;
  static constexpr bool stores_kernel = false;
  static constexpr int digits = 11;
};

template <>
struct ScalarTraits<__nv_bfloat16> {
  using accumulator = float;
  static constexpr bool stores_kernel = true;
  static constexpr int digits = 8;
};

namespace detail {

/// What the rows of a loss are multiplied in: 16-bit scalars as halves, since rows of length 1 have no need of
/// bfloat16's exponents and codes have of a half's digits; float and double as they are.
template <class Scalar>
struct ProductScalar {
  using type = Scalar;
};
template <>
struct ProductScalar<__nv_bfloat16> {
  using type = __half;
};

}  // namespace detail
}  // namespace swav
