// Where a row's largest entry stands. In: a row. Out: an index.
#pragma once

#include "swav/backend/eigen/device.hpp"

namespace swav::detail {

/// The first place of the largest entry of a row that is not empty and has no NaN. Eigen's own search for a maximum's
/// place is not vectorised; this one compares by vectors until it is near.
template <class A>
Index arg_max(const ConstArrayMap<A>& row) {
  constexpr Index chunk = 64;
  const A value = row.maxCoeff();
  Index place = 0;
  for (; place + chunk < row.size(); place += chunk)
    if ((row.segment(place, chunk) == value).any()) break;
  while (place + 1 < row.size() && row[place] != value) ++place;
  return place;
}

}  // namespace swav::detail
