// The length of a row. In: a row. Out: its norm, for any entries.
#pragma once

#include <cmath>
#include <limits>

#include "swav/backend/eigen/device.hpp"

namespace swav::detail {

/// The L2 norm, computed in A; finite whenever the entries and the norm itself are, since the row is scaled by its
/// largest entry where the plain sum of squares over- or underflows. NaN or infinite when an entry is.
template <class A, class Scalar>
[[nodiscard]] A row_norm(const ConstArrayMap<Scalar>& row) {
  const A squares = row.template cast<A>().square().sum();
  if (squares > std::numeric_limits<A>::min() / std::numeric_limits<A>::epsilon() &&
      squares <= std::numeric_limits<A>::max())
    return std::sqrt(squares);
  if (!(squares == squares)) return squares;
  const A magnitude = row.template cast<A>().abs().maxCoeff();
  if (!(magnitude > A(0)) || !std::isfinite(magnitude)) return magnitude;
  return magnitude * std::sqrt((row.template cast<A>() / magnitude).square().sum());
}

}  // namespace swav::detail
