// What a scalar type is summed in. In: a storage type. Out: its accumulator and whether it may store the Gibbs kernel.
// The 16-bit types specialise this beside the backend that brings them (backend/eigen/scalar.hpp).
#pragma once

#include <concepts>
#include <limits>
#include <type_traits>

namespace swav {

/// Specialise for a user's own scalar. `accumulator` is the type sums and exponentials are computed in (float, double
/// or long double); `stores_kernel` says whether exp((S - max)/epsilon) keeps enough digits in the scalar itself (an
/// IEEE half does not: its exponent range loses the small entries that decide a code).
template <class Scalar>
struct ScalarTraits;

template <std::floating_point Scalar>
struct ScalarTraits<Scalar> {
  using accumulator = Scalar;
  static constexpr bool stores_kernel = true;
};

template <class Scalar>
using Accumulator = typename ScalarTraits<Scalar>::accumulator;

/// What potentials, masses and long sums are kept in: double, or the accumulator where that is wider.
template <class Scalar>
using PotentialScalar = std::conditional_t<(sizeof(Accumulator<Scalar>) < sizeof(double)), double, Accumulator<Scalar>>;

template <class T>
concept HasScalarTraits = requires {
  // Not std::floating_point, by which ScalarTraits is constrained: g++ 12 then sees a circle at times.
  requires std::is_floating_point_v<typename ScalarTraits<T>::accumulator>;
  { ScalarTraits<T>::stores_kernel } -> std::convertible_to<bool>;
};

template <class T>
concept ConvertsToAccumulator = requires(T x, Accumulator<T> sum) {
  static_cast<Accumulator<T>>(x);
  static_cast<T>(sum);
};

/// Binary digits of a scalar: ScalarTraits<T>::digits where a backend's type has no std::numeric_limits, else theirs.
template <class T>
[[nodiscard]] constexpr int scalar_digits() {
  if constexpr (requires { ScalarTraits<T>::digits; })
    return ScalarTraits<T>::digits;
  else
    return std::numeric_limits<T>::digits;
}

/// What data may be stored in: a type with ScalarTraits (float, double, long double, Eigen::half and Eigen::bfloat16
/// have them; integers do not), plain memory, explicitly converted to its accumulator and back, with
/// scalar_digits. Where Eigen is the backend it asks for is_integer and is_signed, too.
template <class T>
concept StorageScalar = HasScalarTraits<T> && ConvertsToAccumulator<T> && std::is_trivially_copyable_v<T> &&
    (scalar_digits<T>() > 0);

}  // namespace swav
