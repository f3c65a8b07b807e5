// What updates of rows and columns did, added up by Thrust. In: one FactorUpdate a row or column. Out: one of all.
#pragma once

#include <cmath>

#include "swav/backend/thrust/reductions.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/sinkhorn/relaxation.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// A NaN is kept.
template <class L>
struct MergeUpdates {
  SWAV_HOST_DEVICE FactorUpdate<L> operator()(const FactorUpdate<L>& x, const FactorUpdate<L>& y) const {
    FactorUpdate<L> update;
    update.residual = x.residual + y.residual;
    update.mass = x.mass + y.mass;
    update.lowest = x.lowest <= y.lowest || x.lowest != x.lowest ? x.lowest : y.lowest;
    update.highest = larger(x.highest, y.highest);
    update.largest_move = larger(x.largest_move, y.largest_move);
    return update;
  }
  SWAV_HOST_DEVICE static L larger(L x, L y) { return x >= y || x != x ? x : y; }
};

/// A factor's update to target sum^-lambda, relaxed from `old`, and its extremes.
template <class L>
struct UpdatedFactor {
  L wanted, value;
  FactorUpdate<L> update;
  SWAV_HOST_DEVICE UpdatedFactor(L target, L sum, L old, L lambda, L omega)
      : wanted(target * (lambda == L(1) ? L(1) / sum : std::pow(sum, -lambda))), value(relaxed(wanted, old, omega)) {
    const L scaled = value / target;
    update.lowest = scaled >= L(1) ? L(1) : scaled;
    update.highest = scaled <= L(1) ? L(1) : scaled;
  }
};

/// A row's new factor and what that does, from the row's sum of the kernel times the columns' factors.
template <class L>
[[nodiscard]] SWAV_HOST_DEVICE L update_row(L target, L sum, L old, L lambda, L omega, FactorUpdate<L>& update) {
  if (!(target > 0)) return L(0);
  const UpdatedFactor<L> factor(target, sum, old, lambda, omega);
  update = factor.update;
  update.residual = sum * std::abs(factor.value - factor.wanted);
  update.mass = sum * factor.value;
  return factor.value;
}

/// The same of a column.
template <class L>
[[nodiscard]] SWAV_HOST_DEVICE L update_column(L target, L sum, L old, L lambda, L omega, FactorUpdate<L>& update) {
  if (!(target > 0)) return L(0);
  const UpdatedFactor<L> factor(target, sum, old, lambda, omega);
  update = factor.update;
  update.residual = sum * std::abs(old - factor.wanted);
  update.largest_move = std::abs(std::log(factor.wanted / old));
  return factor.value;
}

template <class Device, class L>
[[nodiscard]] FactorUpdate<L> merge_updates(const Device& device, const FactorUpdate<L>* updates, Index count) {
  return reduce_values(device, updates, count, FactorUpdate<L>(), MergeUpdates<L>());
}

}  // namespace swav::detail
