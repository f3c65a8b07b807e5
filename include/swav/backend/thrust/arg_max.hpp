// Where each row's largest score stands, by Thrust. In: a function of row and column. Out: a column a row, on the host.
#pragma once

#include <thrust/functional.h>

#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/core/host_device.hpp"

namespace swav::detail {

template <class A>
struct FiniteLargest {
  LargestEntry<A> largest;
  bool finite;
};
template <class A>
struct MergeFiniteLargest {
  SWAV_HOST_DEVICE FiniteLargest<A> operator()(const FiniteLargest<A>& x, const FiniteLargest<A>& y) const {
    return {FirstLargest<A>()(x.largest, y.largest), x.finite && y.finite};
  }
};

template <class Score, class A>
struct ScoreAndColumn {
  Score score;
  SWAV_HOST_DEVICE FiniteLargest<A> operator()(Index row, Index column) const {
    const A value = score(row, column);
    return {{value, column}, value - value == A(0)};
  }
};

/// columns[r] = the first column of the largest score(r, 0), score(r, 1), ... of type A, for host memory. False if one
/// is not finite.
template <class A, class Policy, class Score>
bool arg_max_rows(const ThrustDevice<Policy>& device, Index rows, Index cols, const Score& score, int* columns) {
  using Device = ThrustDevice<Policy>;
  typename Device::template Buffer<FiniteLargest<A>> storage;
  typename Device::template Buffer<int> storage_of_columns;
  FiniteLargest<A>* const found = storage.reserve(rows);
  int* const chosen = storage_of_columns.reserve(rows);
  const Device own(device);  // another thread may use the device's scratch
  reduce_rows(own, rows, cols, ScoreAndColumn<Score, A>{score}, MergeFiniteLargest<A>(), found);
  for_each_index(device.policy(), rows,
                 [=] SWAV_HOST_DEVICE(Index r) { chosen[r] = static_cast<int>(found[r].largest.column); });
  const auto finite = [=] SWAV_HOST_DEVICE(Index r) { return found[r].finite; };
  download(device.policy(), chosen, rows, columns);
  return reduce_indices(own, rows, finite, true, thrust::logical_and<bool>());
}

}  // namespace swav::detail
