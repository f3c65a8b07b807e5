// The passes over B x K data that a backend gives the Sinkhorn solver. In: device memory. Out: device memory.
#pragma once

#include "swav/core/matrix_view.hpp"

namespace swav {

/// The extremes of a score matrix. `finite` is false when any entry is NaN or infinite; the extremes then mean nothing.
template <class T>
struct ScoreRange {
  T minimum{};
  T maximum{};
  bool finite = false;
};

/// Specialised once a backend, as `SinkhornPasses<Device>`, with these static functions (A = accumulator of the scalar;
/// every sum over rows is made in an order that depends on the device's thread count alone; a matrix may have no rows,
/// where other processes hold the others):
///
///   range(device, scores, workspace) -> ScoreRange<A>
///     One read of the scores. Leaves each row's maximum m_b in workspace.row_maxima.
///   set_column_masses(device, const double* masses, Index columns, workspace)
///     workspace.column_masses_k = masses_k, or 1/K where `masses` is null.
///   make_kernel(device, scores, A maximum, A inverse_epsilon, kernel, workspace)
///     One read, one write. kernel_bk = exp((s_bk - m_b)/epsilon), which may be the scores' own memory, and
///     workspace.column_sums_k = sum_b exp((s_bk - maximum)/epsilon).
///   iterate(device, kernel, A samples, workspace)
///     One read. With the prototypes' factors v in workspace.factors and B = samples: u_b = (1/B)/sum_k p_bk v_k, then
///     column_sums_k = sum_b u_b p_bk.
///   finish(device, kernel, workspace, out)
///     One read, one write. out_bk = p_bk v_k / sum_k p_bk v_k. `out` may be the kernel's memory.
///   invert_column_sums(device, Index columns, workspace) -> bool
///     v_k = column_masses_k/column_sums_k; false when a sum is not a normal number with room to spare.
///   log_columns / log_column_potentials / log_rows / log_finish
///     The same in the log domain, with potentials workspace.row_potentials (f) and workspace.column_potentials (g) in
///     units of epsilon, in double or better, x = (s - max S)/epsilon, B = samples: log_columns leaves
///     sum_b exp(x_bk + f_b) as workspace.log_sums times exp(log_largest); g_k = log column_masses_k - log of that sum;
///     f_b = -log B - logsumexp_k(x_bk + g_k); out = softmax_k(x_bk + g_k).
///   log_merge(device, group, Index columns, workspace)
///     Between the first two: adds the sums of all processes of a communicator.
///   harden(device, workspace, codes)
///     Each row becomes 1 where it is largest (the first place, if there are several) and 0 elsewhere.
template <class Device>
struct SinkhornPasses;

}  // namespace swav
