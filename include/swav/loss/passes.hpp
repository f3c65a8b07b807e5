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
  double entropy = 0;         ///< mean over rows, in nats
  Index prototypes_used = 0;  ///< distinct arg max
};

/// Specialised once a backend, as `LossPasses<Device>`, with these static functions (A = accumulator). None of them
/// holds the (V B) x K logits.
///
///   score(device, problem, z, c, scores, workspace)
///     scores = z c^T for the rows of assigned views (slot-major, (|A| B) x K). One product of |A| B x K x D.
///   predict(device, problem, z, c, scores, codes, grad_z, workspace) -> double
///     By blocks of rows: S = z c^T (taken from `scores` for assigned views, unless that view is empty), then in place
///     G = n_v softmax(S/tau) - T_v, with T_v,b the sum of the codes q_i,b over i in A, i != v; grad_z = (c/tau) G c
///     and the workspace's prototype gradient (c/tau) G^T z. Returns L = c sum_r (n_v logsumexp(S_r/tau) - T_r .
///     S_r/tau). 3 products of V B x K x D, less one of |A| B x K x D when `scores` are given.
///   code_statistics(device, problem, codes, workspace) -> CodeStatistics
///   merge_used(device, group, problem, workspace) -> Index
///     After code_statistics, in a group of processes: how many prototypes are used in any. A backend without it serves
///     one process alone.
///   collect_prototype_gradient(device, problem, out, workspace)
template <class Device>
struct LossPasses;

}  // namespace swav
