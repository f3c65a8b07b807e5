// The parts that forbidden pairs leave of a transport problem, on the CPU. In: costs, masses. Out: connected columns.
#pragma once

#include <limits>

#include "swav/backend/eigen/cost_rows.hpp"
#include "swav/backend/eigen/transport_workspace.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav::detail {

/// The part of TransportPasses that tells what is connected with what.
template <class Device>
struct TransportPartPasses {
  template <class Cost, class Scalar>
  static bool join_parts(const Device&, const CostRows<Cost>& cost, TransportWorkspace<Device, Scalar>& w) {
    using L = PotentialScalar<Scalar>;
    Index open = 0;
    for (Index j = 0; j < cost.cols; ++j) open += w.col_mass.data()[j] > 0;
    for (Index i = 0; i < cost.rows && open > 1; ++i) {
      if (!(w.row_mass.data()[i] > 0)) continue;
      const ConstArrayMap<L> row = cost.load(i, 0, cost.cols, w.row_scratch.data());
      Index first = -1;
      for (Index j = 0; j < cost.cols; ++j) {
        if (!(w.col_mass.data()[j] > 0 && row[j] < std::numeric_limits<L>::infinity())) continue;
        if (first < 0) w.parts.set_row(i, first = j);
        open -= w.parts.join(first, j);
      }
    }
    return open <= 1;
  }
};

}  // namespace swav::detail
