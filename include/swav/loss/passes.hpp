// The passes that a backend gives the swapped-prediction loss. In: device memory. Out: device memory.
#pragma once

#include "swav/core/matrix_view.hpp"

namespace swav {

/// One call's shapes and constants. Rows of embeddings are view-major: row v * samples + b is sample b seen in view v.
template <class A>
struct SwappedPredictionProblem {
  Index views = 0;
  Index samples = 0;
  Index prototypes = 0;
  Index dimension = 0;
  A inverse_temperature{};
  A pair_weight{};                ///< c = 1/(|A| (V - 1) B)
  const int* slot = nullptr;      ///< [views] the view's place in crops_for_assign, or -1
  const int* assigned = nullptr;  ///< [assigned_count] crops_for_assign
  Index assigned_count = 0;
  bool gradients = true;

  /// n_v: how many codes view v predicts.
  [[nodiscard]] A predictions(Index view) const {
    return static_cast<A>(slot[view] >= 0 ? assigned_count - 1 : assigned_count);
  }
};

/// What the codes of one call look like.
struct CodeStatistics {
  double value = 0;           ///< sum over assigned views i and samples b of sum_{v != i} z_v,b . (q_i,b C)
  double entropy = 0;         ///< mean over rows, in nats
  Index prototypes_used = 0;  ///< distinct arg max
};

/// Specialised once a backend, as `LossPasses<Device>`, with these static functions (A = accumulator). Together they
/// read the embeddings a constant number of times and never hold the (V B) x K logits.
///
///   predict(device, problem, z, c, scores, grad_z, workspace) -> double
///     By blocks of rows: S = z c^T; the rows of assigned views are copied to `scores` (slot-major, (|A| B) x K); then,
///     with s_r the row's softmax at the temperature, grad_z_r = (c n_v/tau) s_r C and the workspace's prototype
///     gradient (c n_v/tau) sum_r s_r^T z_r. Returns sum_r c n_v logsumexp(S_r/tau). 3 products of V B x K x D.
///   sum_other_views(device, problem, z, workspace)
///     W_i,b = sum_{v != i} z_v,b for every assigned i, into the workspace.
///   assign(device, problem, codes, c, workspace) -> CodeStatistics
///     E = Q C into the workspace and the workspace's prototype gradient -= (c/tau) Q^T W. 2 products of |A| B x K x D.
///   swap(device, problem, grad_z, workspace)
///     grad_z_v,b -= (c/tau) sum_{i in A, i != v} E_i,b.
///   collect_prototype_gradient(device, problem, out, workspace)
template <class Device>
struct LossPasses;

}  // namespace swav
