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
/// every sum over rows is made in an order that depends on the device's thread count alone):
///
///   range(device, scores, workspace) -> ScoreRange<A>
///     One read of the scores. Leaves each row's maximum m_b in workspace.row_maxima.
///   make_kernel(device, scores, A maximum, A inverse_epsilon, kernel, workspace)
///     One read, one write. kernel_bk = exp((s_bk - m_b)/epsilon), which may be the scores' own memory, and
///     workspace.column_sums_k = sum_b exp((s_bk - maximum)/epsilon).
///   iterate(device, kernel, workspace)
///     One read. With the prototypes' factors v in workspace.factors: u_b = (1/B)/sum_k p_bk v_k, then
///     column_sums_k = sum_b u_b p_bk.
///   finish(device, kernel, workspace, out)
///     One read, one write. out_bk = p_bk v_k / sum_k p_bk v_k. `out` may be the kernel's memory.
///   invert_column_sums(device, Index columns, workspace) -> bool
///     v_k = (1/K)/column_sums_k; false when a sum is not a normal number with room to spare.
///   log_columns / log_rows / log_finish
///     The same in the log domain, with potentials workspace.row_potentials (f) and workspace.column_potentials (g) in
///     units of epsilon, in double or better: g_k = -log K - logsumexp_b(x_bk + f_b) with x = (s - max S)/epsilon;
///     f_b = -log B - logsumexp_k(x_bk + g_k); out = softmax_k(x_bk + g_k).
template <class Device>
struct SinkhornPasses;

}  // namespace swav
