// What the passes of Sinkhorn::solve by Thrust keep. In: sizes. Out: memory of the policy's system.
#pragma once

#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/core/host_device.hpp"
#include "swav/sinkhorn/problem_parts.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// What a row of a cost holds, and its least entry less g.
template <class L>
struct RowOfCost {
  L base, largest, maximum;
  bool forbidden, bad;
};

/// Sums along a row of the plan.
template <class L>
struct RowOfPlan {
  L mass, cost, entropy;
};

template <class Device, class Scalar>
struct ThrustTransportWorkspace {
  using L = PotentialScalar<Scalar>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  void reserve(Index rows, Index cols, const Device&) {
    for (Buffer<L>* buffer : {&a, &row_mass, &row_target, &f, &base_f, &u, &row_values}) buffer->reserve(rows);
    for (Buffer<L>* buffer : {&b, &col_mass, &col_target, &g, &base_g, &v, &next, &column_sums}) buffer->reserve(cols);
    partial_sums.reserve(cols * reduction_chunks);
    row_updates.reserve(rows);
    column_updates.reserve(cols);
    cost_rows.reserve(rows);
    plan_rows.reserve(rows);
    row_exponentials.reserve(rows);
  }

  Buffer<L> a, row_mass, row_target, f, base_f, u, row_values;         // n
  Buffer<L> b, col_mass, col_target, g, base_g, v, next, column_sums;  // m; next: next_v, next_g
  Buffer<L> partial_sums;                                              // m a chunk of rows
  Buffer<FactorUpdate<L>> row_updates, column_updates;                 // n, m
  Buffer<RowOfCost<L>> cost_rows;                                      // n
  Buffer<RowOfPlan<L>> plan_rows;                                      // n
  Buffer<LogSum<L>> row_exponentials;                                  // n
  Buffer<L> kernel;                                                    // n m: one of the two
  Buffer<float> single_kernel;
  Buffer<L> points;       // (n + m) d
  ProblemParts<L> parts;  // where pairs are forbidden
};

}  // namespace swav::detail
