// The passes of Sinkhorn::solve by Thrust in the log domain. In: costs, potentials. Out: potentials.
#pragma once

#include <thrust/functional.h>

#include <cmath>
#include <limits>
#include <utility>

#include "swav/backend/thrust/cost_entries.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/backend/thrust/transport_sides.hpp"
#include "swav/backend/thrust/transport_updates.hpp"
#include "swav/backend/thrust/transport_workspace.hpp"
#include "swav/core/host_device.hpp"
#include "swav/sinkhorn/exponents.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// Below it a sum of normal numbers may have lost some.
template <class L>
SWAV_HOST_DEVICE constexpr L smallest_sum() {
  return std::numeric_limits<L>::min() / std::numeric_limits<L>::epsilon();
}

/// The part of TransportPasses that is log-sum-exp instead of products with a kernel.
template <class Device>
struct ThrustLogPasses {
  template <class Scalar>
  using Workspace = ThrustTransportWorkspace<Device, Scalar>;

  template <class Policy, class Cost, class Scalar, class L>
  static FactorUpdate<L> log_iterate(const Device& device, const CostEntries<Policy, Cost>& whole, L epsilon, L lambda,
                                     L omega, Workspace<Scalar>& w) {
    const auto cost = whole.in_blocks(epsilon);
    const L inverse = inverse_of(epsilon);
    const L *const g = w.g.data(), *const masses = w.row_mass.data();
    // In cost units first: the difference is exact where it matters, and 0 at the largest.
    const auto entry = [=] SWAV_HOST_DEVICE(Index i, Index j) { return LogSum<L>{g[j] - cost(i, j), L(1)}; };
    LogSum<L>* const found = w.row_exponentials.data();
    reduce_rows(device, cost, entry, AddExponentials<L>{inverse}, found);
    L* const f = w.f.data();
    L* const log_weights = w.row_values.data();
    FactorUpdate<L>* const updates = w.row_updates.data();
    for_each_index(device.policy(), cost.rows, [=] SWAV_HOST_DEVICE(Index i) {
      FactorUpdate<L> update;
      L potential = -std::numeric_limits<L>::infinity();
      if (masses[i] > 0) {
        const L log_sum = std::log(found[i].sum), largest = found[i].largest, old = f[i];
        // log K v = log_sum + largest/epsilon.
        const L wanted = epsilon * std::log(masses[i]) - lambda * (epsilon * log_sum + largest);
        const L move = (wanted - old) / epsilon;
        potential = omega == L(1) ? wanted : old + omega * (wanted - old);
        const L relaxed = omega == L(1) ? L(0) : (omega - L(1)) * move;
        const L unbalanced = lambda == L(1) ? L(0) : (L(1) - lambda) * (log_sum + largest / epsilon);
        log_weights[i] = std::log(masses[i]) + unbalanced + relaxed - log_sum;
        if (omega != L(1)) update.largest_move = std::abs(move);
        update.residual = std::abs(std::exp(std::log(masses[i]) + unbalanced) * std::expm1(relaxed));
        update.mass = std::exp(std::log(masses[i]) + unbalanced + relaxed);
      }
      f[i] = potential;
      updates[i] = update;
    });
    const L lowest = lowest_exponent<L>();
    const auto plan = [=] SWAV_HOST_DEVICE(Index i, Index j) {
      if (!(masses[i] > 0)) return L(0);
      const L exponent = (g[j] - cost(i, j) - found[i].largest) * inverse;
      return exponent >= lowest ? std::exp(log_weights[i]) * std::exp(exponent) : L(0);
    };
    reduce_columns(device.policy(), cost, plan, thrust::plus<L>(), L(0), w.partial_sums.data(), w.column_sums.data());
    return merge_updates(device, updates, cost.rows);
  }

  template <class Scalar>
  static bool starves(const Device& device, Index cols, const Workspace<Scalar>& w) {
    using L = PotentialScalar<Scalar>;
    const L *const masses = w.col_mass.data(), *const sums = w.column_sums.data();
    const auto starved = [=] SWAV_HOST_DEVICE(Index j) { return masses[j] > 0 && !(sums[j] >= smallest_sum<L>()); };
    return reduce_indices(device, cols, starved, false, thrust::logical_or<bool>());
  }

  template <class Policy, class Cost, class Scalar>
  static void column_minima(const Device& device, const CostEntries<Policy, Cost>& whole, Workspace<Scalar>& w) {
    const auto cost = whole.in_blocks();
    using L = PotentialScalar<Scalar>;
    const L infinity = std::numeric_limits<L>::infinity();
    const L *const masses = w.row_mass.data(), *const f = w.f.data();
    const auto rest = [=] SWAV_HOST_DEVICE(Index i, Index j) { return masses[i] > 0 ? cost(i, j) - f[i] : infinity; };
    reduce_columns(device.policy(), cost, rest, Smaller<L>(), infinity, w.partial_sums.data(), w.base_g.data());
  }

  template <class Scalar, class L>
  static FactorUpdate<L> log_update_columns(const Device& device, Index cols, L epsilon, L lambda, L omega,
                                            Workspace<Scalar>& w) {
    const L *const masses = w.col_mass.data(), *const sums = w.column_sums.data(), *const g = w.g.data(),
                   *const base = w.base_g.data();
    L* const next = w.next.data();
    FactorUpdate<L>* const updates = w.column_updates.data();
    for_each_index(device.policy(), cols, [=] SWAV_HOST_DEVICE(Index j) {
      FactorUpdate<L> update;
      L potential = -std::numeric_limits<L>::infinity();
      if (masses[j] > 0) {
        // epsilon log (K'u)_j, where the sum has underflowed by its largest term alone: the next update has the rest.
        const L log_sum = sums[j] >= smallest_sum<L>() ? epsilon * std::log(sums[j]) - g[j] : -base[j];
        const L wanted = epsilon * std::log(masses[j]) - lambda * log_sum;
        potential = omega == L(1) ? wanted : g[j] + omega * (wanted - g[j]);
        update.largest_move = std::abs((wanted - g[j]) / epsilon);
        const L target = lambda == L(1) ? masses[j] : std::exp((wanted + log_sum) / epsilon);
        update.residual = std::abs(sums[j] - target);
      }
      next[j] = potential;
      updates[j] = update;
    });
    return merge_updates(device, updates, cols);
  }

  template <class Scalar>
  static void log_accept_columns(Workspace<Scalar>& w) {
    std::swap(w.g, w.next);
  }
};

}  // namespace swav::detail
