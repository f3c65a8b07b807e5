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

/// Where a pass of the scaling domain finds the rows of the Gibbs kernel p_bk = exp((s_bk - m_b)/epsilon), m_b the
/// row's own maximum: computed from the scores, or read from where an earlier pass stored them.
enum class KernelSource { scores, stored };

/// Specialised once a backend, as `SinkhornPasses<Device>`, with these static functions (A = accumulator of the scalar;
/// every sum over rows is made in an order that depends on the device's thread count alone):
///
///   column_sums(device, scores, A inverse_epsilon, workspace) -> ScoreRange<A>
///     One read of the scores. Leaves m_b in workspace.row_maxima and sum_b exp((s_bk - max S)/epsilon) in
///     workspace.column_sums.
///   iterate(device, source, scores, kernel, A inverse_epsilon, workspace)
///     One read. With the prototypes' factors v in workspace.factors: u_b = (1/B)/sum_k p_bk v_k, then
///     column_sums_k = sum_b u_b p_bk. Stores p into `kernel` when the source is the scores (the two may be the same
///     memory).
///   finish(device, source, scores, kernel, A inverse_epsilon, workspace, out)
///     One read, one write. out_bk = p_bk v_k / sum_k p_bk v_k. `out` may be the scores' or the kernel's memory.
///   invert_column_sums(device, Index columns, workspace) -> bool
///     v_k = (1/K)/column_sums_k; false when a sum is not a normal number with room to spare.
///   log_columns / log_rows / log_finish
///     The same in the log domain, with potentials workspace.row_potentials (f) and workspace.column_potentials (g) in
///     units of epsilon, in double or better: g_k = -log K - logsumexp_b(x_bk + f_b) with x = (s - max S)/epsilon;
///     f_b = -log B - logsumexp_k(x_bk + g_k); out = softmax_k(x_bk + g_k).
template <class Device>
struct SinkhornPasses;

}  // namespace swav
