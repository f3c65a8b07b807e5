// The passes over n x m data that a backend gives Sinkhorn::solve. In: device memory. Out: device memory.
#pragma once

#include <limits>

#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/options.hpp"

namespace swav {

/// What is known of a vector of masses.
template <class L>
struct MassSummary {
  L total{};
  Index bad = -1;  ///< the first index with a NaN, infinite or negative mass, or -1
  L bad_mass{};    ///< that mass
};

/// What the rows of a cost hold. Without padding, since backends copy it whole.
template <class L>
struct CostSummary {
  Index bad_row = -1;    ///< a row with a NaN, -inf or overflow, or -1; the rest then means nothing
  int forbidden = 0;     ///< 1: there are entries +inf
  int stranded_row = 0;  ///< 1: one with mass has no allowed partner with mass
  L largest = 0;         ///< the largest |finite entry|
  L maximum = std::numeric_limits<L>::lowest();  ///< the largest finite entry
};

/// What one update of a vector of factors did.
template <class L>
struct FactorUpdate {
  L residual{};             ///< L1 change of the plan's marginal that an update without relaxation makes
  L mass{};                 ///< of the plan after it; of an update of rows
  L lowest{1}, highest{1};  ///< extremes of factor/mass after it
  L largest_move{};         ///< the largest |log(updated/old)|, without relaxation
};

/// The sums over the plan and the marginals that costs are made of.
template <class L>
struct PlanSums {
  L mass{}, cost{}, entropy{};       ///< sum P, sum P C, -sum P log P
  L error_a{}, error_b{};            ///< L1 distances of the marginals from a and b
  L log_a{}, log_b{};                ///< sum_i r_i log a_i, sum_j c_j log b_j with the marginals r, c
  L divergence_a{}, divergence_b{};  ///< KL(r | a), KL(c | b)
};

/// Specialised once a backend, as `TransportPasses<Device>`, with `Workspace<Scalar>` (buffers of n, m and n x m
/// elements, listed in the Eigen backend), `CostRows<Cost>` (how the passes read a matrix or a PointCost) and static
/// functions. n rows are those of this process, m columns all. L = PotentialScalar<Scalar>, `lambda` is
/// rho/(rho + epsilon) of the side that is updated (1: balanced), `omega` the relaxation. A mass 0 has potential -inf.
/// What several processes must add up, a pass leaves in the workspace's column_sums or base_g, or returns.
///
///   device_for(device, entries) -> Device or const Device&: with no more threads than so many entries are worth
///   load_masses(device, masses or empty, size, missing, buffer) -> MassSummary
///   copy_in(device, host, size, buffer), copy_out(device, buffer, size, host)
///   fill(device, buffer, size, value), negate, scale(..., factor), shift(..., amount): of one buffer
///   mask(device, potentials, masses, size): -inf where there is no mass; revive(device, potentials, size): 0 for -inf
///   smallest_mass(device, masses, size) -> L: of those that are not 0
///   reduce(device, cost, workspace) -> CostSummary
///     One read. base_f_i = min_j (C_ij - g_j), base_g_j = min_i (C_ij - base_f_i); row_mass: the masses, 0 where there
///     is no allowed partner.
///   reduce_columns(device, cols, workspace) -> bool
///     From base_g, col_mass likewise; whether a column with mass has no allowed partner.
///   join_parts(device, cost, workspace) -> bool
///     Joins in workspace.parts the columns with mass that allowed pairs with rows with mass connect, and sets those
///     rows. Whether there is one part; the rows need not be set then. At worst one read, by one thread.
///   make_kernel<Kernel>(device, cost, epsilon, workspace) -> what `iterate` reads
///     kernel_ij = exp((base_f_i + base_g_j - C_ij)/epsilon), 0 below the type's normal numbers: at most 1, and 1
///     somewhere in each row and column with mass. A matrix: one read, one write. Points: made anew in each iteration.
///   start_factors(device, rows, cols, epsilon, rho_a, rho_b, log_limit, bounded, cold, workspace)
///     v from g, its logarithm over the mass clipped to log_limit; where `cold`, v = col_mass. `bounded`: factors that
///     grow are going to be absorbed.
///   iterate(device, kernel, lambda, omega, workspace) -> FactorUpdate, or what converts to it and may wait then
///     One read: s = K v, u = row_target s^-lambda, column_sums = K' u.
///   update_columns(device, cols, lambda, omega, workspace) -> FactorUpdate
///     next_v = col_target column_sums^-lambda.
///   accept_columns(workspace): v = next_v
///   translate_bases(device, rows, cols, move, epsilon, rho_a, rho_b, workspace)
///     base_f + move, base_g - move, and targets to match: the same kernel, and potentials so moved.
///   row_potentials(device, rows, epsilon, workspace): f = base_f + epsilon log u
///   column_potentials(device, cols, epsilon, v or next_v, workspace): g = base_g + epsilon log of it
///   log_iterate(device, cost, epsilon, lambda, omega, workspace) -> FactorUpdate
///     One read: f from g by log-sum-exp, column_sums = those of the plan.
///   starves(device, cols, workspace) -> bool: whether a column's sum has underflowed
///   column_minima(device, cost, workspace): one read; base_g_j = min_i (C_ij - f_i)
///   log_update_columns(device, cols, epsilon, lambda, omega, workspace) -> FactorUpdate
///     next_g; where a column's sum has underflowed, from base_g.
///   log_accept_columns(workspace): g = next_g
///   base_potentials(device, rows, cols, epsilon, workspace): f = base_f + epsilon log row_mass, next likewise of
///   columns kept_mass(device, masses, potentials, size, epsilon, rho) -> LogSum: sum_i m_i exp(-f~_i/rho), f~ = f -
///   epsilon log m dual_side(device, masses, potentials, size, epsilon, rho) -> L: one side of the dual's value
///   evaluate(device, cost, epsilon, workspace) -> PlanSums
///     One read: what rows add to them, and column_sums.
///   evaluate_columns(device, cols, workspace, sums): adds what columns do.
///   plan, apply, marginal, map: of TransportResult
///   converted<Scalar>(device, Matrix<L>&&) -> Matrix<Scalar>
template <class Device>
struct TransportPasses;

}  // namespace swav
