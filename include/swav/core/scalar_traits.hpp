// What a scalar type is summed in. In: a storage type. Out: its accumulator and whether it may store the Gibbs kernel.
// The 16-bit types specialise this beside the backend that brings them (backend/eigen/scalar.hpp).
#pragma once

#include <concepts>

namespace swav {

/// Specialise for a user's own scalar. `accumulator` is the type sums and exponentials are computed in;
/// `stores_kernel` says whether exp((S - max)/epsilon) keeps enough digits in the scalar itself (an IEEE half does not:
/// its exponent range loses the small entries that decide a code).
template <class Scalar>
struct ScalarTraits;

template <std::floating_point Scalar>
struct ScalarTraits<Scalar> {
  using accumulator = Scalar;
  static constexpr bool stores_kernel = true;
};

template <class Scalar>
using Accumulator = typename ScalarTraits<Scalar>::accumulator;

}  // namespace swav
