// What the passes of Sinkhorn::solve on the CPU keep, and how what threads found is brought together. In: sizes; parts
// by thread. Out: memory; sums in the order of the threads' shares.
#pragma once

#include <cmath>
#include <limits>

#include "swav/backend/eigen/device.hpp"
#include "swav/sinkhorn/problem_parts.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// Buffers of a solve under way.
template <class Device, class Scalar>
struct TransportWorkspace {
  using L = PotentialScalar<Scalar>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  void reserve(Index rows, Index cols, const Device& device) {
    for (Buffer<L>* buffer : {&a, &row_mass, &row_target, &f, &base_f, &u}) buffer->reserve(rows);
    for (Buffer<L>* buffer : {&b, &col_mass, &col_target, &g, &base_g, &v, &next, &column_sums}) buffer->reserve(cols);
    partial_sums.reserve(cols * device.threads());
    single_v.reserve(cols);
    single_sums.reserve(cols * device.threads());
    row_scratch.reserve(3 * cols * device.threads());
    shares.reserve(device.threads());
  }

  struct Share {  // what a thread finds
    FactorUpdate<L> update;
    CostSummary<L> cost;
    PlanSums<L> sums;
  };

  Buffer<L> a, row_mass, row_target, f, base_f, u;                     // n
  Buffer<L> b, col_mass, col_target, g, base_g, v, next, column_sums;  // m; next: next_v, next_g
  Buffer<L> partial_sums, row_scratch;                                 // m a thread
  Buffer<Share> shares;                                                // one a thread
  Buffer<L> kernel;                                                    // n m, or a few rows a thread: one of the two
  Buffer<float> single_kernel;
  Buffer<float> single_v, single_sums;  // m, m a thread
  Buffer<L> points;                     // (n + m) d
  ProblemParts<L> parts;                // where pairs are forbidden
  bool factors_fit_single = false, backward = false;
};

// Comparisons are written so that a NaN is kept.
template <class L>
void note_factor(L scaled, FactorUpdate<L>& update) {
  if (!(scaled >= update.lowest)) update.lowest = scaled;
  if (!(scaled <= update.highest)) update.highest = scaled;
}
template <class L>
void note_move(L log_move, FactorUpdate<L>& update) {
  if (!(std::abs(log_move) <= update.largest_move)) update.largest_move = std::abs(log_move);
}

// column_sums and the shares' updates, in the order of the shares.
template <class Device, class Scalar>
FactorUpdate<PotentialScalar<Scalar>> collect_columns(const Device& device, Index rows, Index cols,
                                                      TransportWorkspace<Device, Scalar>& w) {
  using L = PotentialScalar<Scalar>;
  ArrayMap<L> total(w.column_sums.data(), cols);
  total.setZero();
  FactorUpdate<L> update;
  for (int share = 0; share < device.shares(rows); ++share) {
    total += ConstArrayMap<L>(w.partial_sums.data() + share * cols, cols);
    const FactorUpdate<L>& part = w.shares.data()[share].update;
    update.residual += part.residual;
    update.mass += part.mass;
    note_factor(part.lowest, update);
    note_factor(part.highest, update);
    note_move(part.largest_move, update);
  }
  return update;
}

template <class Device, class Scalar>
void merge_minima(const Device& device, Index rows, Index cols, TransportWorkspace<Device, Scalar>& w) {
  using L = PotentialScalar<Scalar>;
  ArrayMap<L> base_g(w.base_g.data(), cols);
  base_g.setConstant(std::numeric_limits<L>::infinity());
  for (int share = 0; share < device.shares(rows); ++share)
    base_g = base_g.min(ConstArrayMap<L>(w.partial_sums.data() + share * cols, cols));
}

}  // namespace swav::detail
