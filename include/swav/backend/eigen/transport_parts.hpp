// The parts that forbidden pairs leave of a transport problem, on the CPU. In: costs, masses. Out: each column's part.
#pragma once

#include <cmath>
#include <limits>

#include "swav/backend/eigen/cost_rows.hpp"
#include "swav/backend/eigen/transport_workspace.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav::detail {

/// The part of TransportPasses that tells which columns are connected by allowed pairs of a row and a column with mass.
/// A part goes by its first column. `parts` is a forest: a column's parent is in its part, and not after it.
template <class Device>
struct TransportPartPasses {
  template <class Cost, class Scalar>
  static bool join_parts(const CostRows<Cost>& cost, TransportWorkspace<Device, Scalar>& w) {
    using L = PotentialScalar<Scalar>;
    const Index cols = cost.cols;
    Index* const parts = w.parts.reserve(cols);
    w.row_columns.reserve(cost.rows);
    Index open = 0;
    for (Index j = 0; j < cols; ++j) {
      parts[j] = j;
      open += w.col_mass.data()[j] > 0;
    }
    for (Index i = 0; i < cost.rows && open > 1; ++i) {
      Index first = -1;
      if (w.row_mass.data()[i] > 0) {
        const ConstArrayMap<L> row = cost.load(i, 0, cols, w.row_scratch.data());
        for (Index j = 0; j < cols; ++j) {
          if (!(w.col_mass.data()[j] > 0 && row[j] < std::numeric_limits<L>::infinity())) continue;
          if (first < 0) first = j;
          open -= join(parts, first, j);
        }
      }
      w.row_columns.data()[i] = first;
    }
    return open <= 1;
  }

  template <class Scalar>
  static void offer_parts(Index cols, TransportWorkspace<Device, Scalar>& w) {
    using L = PotentialScalar<Scalar>;
    for (Index j = 0; j < cols; ++j) w.next.data()[j] = -static_cast<L>(part_of(w.parts.data(), j));
  }

  template <class Scalar>
  static bool rejoin_parts(Index cols, TransportWorkspace<Device, Scalar>& w) {
    bool changed = false;
    for (Index j = 0; j < cols; ++j) changed |= join(w.parts.data(), static_cast<Index>(-w.next.data()[j]), j);
    return changed;
  }

  template <class Scalar>
  static void add_up_parts(Index rows, Index cols, TransportWorkspace<Device, Scalar>& w) {
    for (Index j = 0; j < cols; ++j) w.column_sums.data()[j] = w.next.data()[j] = 0;
    for (Index j = 0; j < cols; ++j) w.next.data()[part_of(w.parts.data(), j)] += w.col_mass.data()[j];
    for (Index i = 0; i < rows; ++i)
      if (w.row_mass.data()[i] > 0)
        w.column_sums.data()[part_of(w.parts.data(), w.row_columns.data()[i])] += w.row_mass.data()[i];
  }

  template <class Scalar, class L>
  static bool balance_parts(Index cols, L slack, TransportWorkspace<Device, Scalar>& w) {
    for (Index j = 0; j < cols; ++j) {
      const Index part = part_of(w.parts.data(), j);
      const L mass_a = w.column_sums.data()[part], mass_b = w.next.data()[part];
      if (!(std::abs(mass_a - mass_b) <= slack * mass_a)) return false;
      if (mass_a == mass_b) continue;
      for (auto* const masses : {&w.b, &w.col_mass}) masses->data()[j] *= mass_a / mass_b;
    }
    return true;
  }

 private:
  static Index part_of(Index* parts, Index j) {
    while (parts[j] != j) j = parts[j] = parts[parts[j]];
    return j;
  }
  // Whether they were apart.
  static bool join(Index* parts, Index i, Index j) {
    i = part_of(parts, i);
    j = part_of(parts, j);
    if (i < j)
      parts[j] = i;
    else
      parts[i] = j;
    return i != j;
  }
};

}  // namespace swav::detail
