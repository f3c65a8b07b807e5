// The passes of Sinkhorn::solve by Thrust. In: row-major memory of the policy's system. Out: the same.
#pragma once

#include <thrust/functional.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/backend/thrust/cost_entries.hpp"
#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/backend/thrust/transport_log.hpp"
#include "swav/backend/thrust/transport_plan.hpp"
#include "swav/backend/thrust/transport_sides.hpp"
#include "swav/backend/thrust/transport_updates.hpp"
#include "swav/backend/thrust/transport_workspace.hpp"
#include "swav/core/host_device.hpp"
#include "swav/sinkhorn/exponents.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav {
namespace detail {

/// exp((base_f_i + base_g_j - C_ij)/epsilon), 0 below the type's normal numbers.
template <class Kernel, class Entries>
struct KernelEntry {
  using L = typename Entries::L;
  Entries cost;
  L inverse;
  const L *base_f, *base_g;
  SWAV_HOST_DEVICE Kernel operator()(Index i, Index j) const {
    const L exponent = (base_f[i] + base_g[j] - cost(i, j)) * inverse;
    return exponent >= lowest_exponent<Kernel>() ? std::exp(static_cast<Kernel>(exponent)) : Kernel(0);
  }
};

template <class Kernel>
struct KernelInMemory {
  const Kernel* entries;
  Index cols;
  SWAV_HOST_DEVICE Kernel operator()(Index i, Index j) const { return entries[i * cols + j]; }
};

template <class Entry>
struct ThrustKernel {
  Index rows, cols;
  Entry entry;
};

template <class L>
struct MergeRowsOfCost {
  SWAV_HOST_DEVICE RowOfCost<L> operator()(const RowOfCost<L>& x, const RowOfCost<L>& y) const {
    return {x.base < y.base ? x.base : y.base, x.largest > y.largest ? x.largest : y.largest,
            x.maximum > y.maximum ? x.maximum : y.maximum, x.forbidden || y.forbidden, x.bad || y.bad};
  }
};

template <class L>
struct MergeSummaries {
  SWAV_HOST_DEVICE CostSummary<L> operator()(const CostSummary<L>& x, const CostSummary<L>& y) const {
    CostSummary<L> summary;
    summary.bad_row = x.bad_row >= 0 && (y.bad_row < 0 || x.bad_row < y.bad_row) ? x.bad_row : y.bad_row;
    summary.forbidden = x.forbidden || y.forbidden;
    summary.stranded_row = x.stranded_row || y.stranded_row;
    summary.largest = x.largest > y.largest ? x.largest : y.largest;
    summary.maximum = x.maximum > y.maximum ? x.maximum : y.maximum;
    return summary;
  }
};

}  // namespace detail

template <class Policy>
struct TransportPasses<ThrustDevice<Policy>> : detail::ThrustSidePasses<ThrustDevice<Policy>>,
                                               detail::ThrustLogPasses<ThrustDevice<Policy>>,
                                               detail::ThrustPlanPasses<ThrustDevice<Policy>> {
  using Device = ThrustDevice<Policy>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;
  template <class Cost>
  using CostRows = detail::CostEntries<Policy, Cost>;
  template <class Scalar>
  using Workspace = detail::ThrustTransportWorkspace<Device, Scalar>;

  static const Device& device_for(const Device& device, Index) { return device; }

  template <class Cost, class Scalar, class L = PotentialScalar<Scalar>>
  static CostSummary<L> reduce(const Device& device, const detail::CostEntries<Policy, Cost>& whole,
                               Workspace<Scalar>& w) {
    const auto cost = whole.in_blocks();
    const L infinity = std::numeric_limits<L>::infinity(), none = std::numeric_limits<L>::lowest();
    const L *const g = w.g.data(), *const a = w.a.data();
    const bool may_forbid = detail::CostEntries<Policy, Cost>::may_forbid;
    const auto entry = [=] SWAV_HOST_DEVICE(Index i, Index j) {
      const L value = cost(i, j);
      const bool finite = value - value == L(0), forbidden = may_forbid && value == infinity;
      return detail::RowOfCost<L>{finite ? value - g[j] : infinity, finite ? std::abs(value) : L(0),
                                  finite ? value : none, forbidden, !finite && !forbidden};
    };
    auto* const found = w.cost_rows.data();
    detail::reduce_rows(device, cost, entry, detail::MergeRowsOfCost<L>(), found);
    L *const base_f = w.base_f.data(), *const row_mass = w.row_mass.data();
    detail::for_each_index(device.policy(), cost.rows, [=] SWAV_HOST_DEVICE(Index i) {
      const bool takes_part = a[i] > 0 && found[i].base < infinity;
      base_f[i] = takes_part ? found[i].base : -infinity;
      row_mass[i] = takes_part ? a[i] : L(0);
    });
    const auto summary = [=] SWAV_HOST_DEVICE(Index i) {
      CostSummary<L> row;
      row.bad_row = found[i].bad ? i : Index{-1};
      row.forbidden = found[i].forbidden;
      row.stranded_row = a[i] > 0 && !(row_mass[i] > 0);
      row.largest = found[i].largest;
      row.maximum = found[i].maximum;
      return row;
    };
    const auto rest = [=] SWAV_HOST_DEVICE(Index i, Index j) {
      return row_mass[i] > 0 ? cost(i, j) - base_f[i] : infinity;
    };
    detail::reduce_columns(device.policy(), cost, rest, detail::Smaller<L>(), infinity, w.partial_sums.data(),
                           w.base_g.data());
    return detail::reduce_indices(device, cost.rows, summary, CostSummary<L>(), detail::MergeSummaries<L>());
  }

  template <class Scalar>
  static bool reduce_columns(const Device& device, Index cols, Workspace<Scalar>& w) {
    using L = PotentialScalar<Scalar>;
    const L infinity = std::numeric_limits<L>::infinity();
    L *const base = w.base_g.data(), *const mass = w.col_mass.data();
    const L* const b = w.b.data();
    const auto stranded = [=] SWAV_HOST_DEVICE(Index j) { return base[j] == infinity && b[j] > 0; };
    const bool any = detail::reduce_indices(device, cols, stranded, false, thrust::logical_or<bool>());
    detail::for_each_index(device.policy(), cols, [=] SWAV_HOST_DEVICE(Index j) {
      mass[j] = base[j] == infinity ? L(0) : b[j];
      if (!(mass[j] > 0)) base[j] = -infinity;
    });
    return any;
  }

  /// Each column takes the lowest number of those that it shares a row with, until none changes: as many reads as the
  /// longest chain of rows has links.
  template <class Cost, class Scalar>
  static bool join_parts(const Device& device, const detail::CostEntries<Policy, Cost>& cost, Workspace<Scalar>& w) {
    using L = PotentialScalar<Scalar>;
    const L infinity = std::numeric_limits<L>::infinity();
    const L *const row_mass = w.row_mass.data(), *const col_mass = w.col_mass.data();
    L *const of_rows = w.row_values.data(), *const of_columns = w.next.data(), *const found = w.column_sums.data();
    const auto allowed = [=] SWAV_HOST_DEVICE(Index i, Index j) {
      return row_mass[i] > 0 && col_mass[j] > 0 && cost(i, j) < infinity;
    };
    const auto by_columns = [=] SWAV_HOST_DEVICE(Index i, Index j) { return allowed(i, j) ? of_columns[j] : infinity; };
    const auto by_rows = [=] SWAV_HOST_DEVICE(Index i, Index j) { return allowed(i, j) ? of_rows[i] : infinity; };
    const auto is_lowered = [=] SWAV_HOST_DEVICE(Index j) { return found[j] < of_columns[j]; };
    detail::for_each_index(device.policy(), cost.cols,
                           [=] SWAV_HOST_DEVICE(Index j) { of_columns[j] = static_cast<L>(j); });
    for (bool lowered = true; lowered;) {
      detail::reduce_rows(device, cost.rows, cost.cols, by_columns, detail::Smaller<L>(), of_rows);
      detail::reduce_columns(device.policy(), cost.rows, cost.cols, by_rows, detail::Smaller<L>(), infinity,
                             w.partial_sums.data(), found);
      lowered = detail::reduce_indices(device, cost.cols, is_lowered, false, thrust::logical_or<bool>());
      detail::for_each_index(device.policy(), cost.cols, [=] SWAV_HOST_DEVICE(Index j) {
        if (found[j] < of_columns[j]) of_columns[j] = found[j];
      });
    }
    std::vector<L> labels(static_cast<std::size_t>(std::max(cost.rows, cost.cols)));
    detail::download(device.policy(), of_columns, cost.cols, labels.data());
    for (Index j = 0; j < cost.cols; ++j) w.parts.join(static_cast<Index>(labels[static_cast<std::size_t>(j)]), j);
    detail::download(device.policy(), of_rows, cost.rows, labels.data());
    for (Index i = 0; i < cost.rows; ++i)
      if (labels[static_cast<std::size_t>(i)] < infinity)
        w.parts.set_row(i, static_cast<Index>(labels[static_cast<std::size_t>(i)]));
    return false;
  }

  template <class Kernel, class Cost, class Scalar, class L>
  static auto make_kernel(const Device& device, const detail::CostEntries<Policy, Cost>& cost, L epsilon,
                          Workspace<Scalar>& w) {
    using Formula = detail::KernelEntry<Kernel, detail::CostEntries<Policy, Cost>>;
    const Formula formula{cost, detail::inverse_of(epsilon), w.base_f.data(), w.base_g.data()};
    if constexpr (detail::CostEntries<Policy, Cost>::is_stored) {
      Kernel* const entries = kernel_memory<Kernel>(w, cost.rows * cost.cols);
      write_kernel(device, formula, cost.rows, cost.cols, entries);
      return detail::ThrustKernel<detail::KernelInMemory<Kernel>>{cost.rows, cost.cols, {entries, cost.cols}};
    } else {
      return detail::ThrustKernel<Formula>{cost.rows, cost.cols, formula};
    }
  }

  template <class Scalar, class L>
  static void start_factors(const Device& device, Index rows, Index cols, L epsilon, double rho_a, double rho_b,
                            L log_limit, bool, bool cold, Workspace<Scalar>& w) {
    // A factor relative to the base potential: mass exp(-base (1 - lambda)/epsilon), (1 - lambda)/epsilon = 1/(rho +
    // epsilon), is what lambda < 1 leaves of it.
    const auto rest = [&](double rho) { return static_cast<L>(1 / (rho + static_cast<double>(epsilon))); };
    write_targets(device, w.row_mass.data(), w.base_f.data(), rows, rest(rho_a), w.row_target.data());
    write_targets(device, w.col_mass.data(), w.base_g.data(), cols, rest(rho_b), w.col_target.data());
    L *const v = w.v.data(), *const u = w.u.data();
    const L *const mass = w.col_mass.data(), *const g = w.g.data(), *const base = w.base_g.data();
    detail::for_each_index(device.policy(), cols, [=] SWAV_HOST_DEVICE(Index j) {
      L exponent = 0;
      if (!cold && mass[j] > 0) {
        exponent = (g[j] - base[j]) / epsilon - std::log(mass[j]);
        exponent = exponent < -log_limit ? -log_limit : exponent > log_limit ? log_limit : exponent;
      }
      v[j] = mass[j] * std::exp(exponent);
    });
    detail::for_each_index(device.policy(), rows, [=] SWAV_HOST_DEVICE(Index i) { u[i] = 0; });
  }

  template <class Scalar, class L>
  static void base_potentials(const Device& device, Index rows, Index cols, L epsilon, Workspace<Scalar>& w) {
    write_potentials(device, w.base_f.data(), w.row_mass.data(), rows, epsilon, w.f.data());
    write_potentials(device, w.base_g.data(), w.col_mass.data(), cols, epsilon, w.next.data());
  }

  template <class Scalar, class L>
  static void translate_bases(const Device& device, Index rows, Index cols, L move, L epsilon, double rho_a,
                              double rho_b, Workspace<Scalar>& w) {
    move_base(device, w.base_f.data(), w.row_target.data(), rows, move,
              std::exp(-move / (static_cast<L>(rho_a) + epsilon)));
    move_base(device, w.base_g.data(), w.col_target.data(), cols, -move,
              std::exp(move / (static_cast<L>(rho_b) + epsilon)));
  }

  template <class Entry, class Scalar, class L>
  static FactorUpdate<L> iterate(const Device& device, const detail::ThrustKernel<Entry>& kernel, L lambda, L omega,
                                 Workspace<Scalar>& w) {
    const Entry entry = kernel.entry;
    const L* const v = w.v.data();
    L *const sums = w.row_values.data(), *const u = w.u.data();
    const L* const targets = w.row_target.data();
    const auto product = [=] SWAV_HOST_DEVICE(Index i, Index j) { return static_cast<L>(entry(i, j)) * v[j]; };
    detail::reduce_rows(device, kernel.rows, kernel.cols, product, thrust::plus<L>(), sums);
    FactorUpdate<L>* const updates = w.row_updates.data();
    detail::for_each_index(device.policy(), kernel.rows, [=] SWAV_HOST_DEVICE(Index i) {
      FactorUpdate<L> update;
      u[i] = detail::update_row(targets[i], sums[i], u[i], lambda, omega, update);
      updates[i] = update;
    });
    const auto weighted = [=] SWAV_HOST_DEVICE(Index i, Index j) { return static_cast<L>(entry(i, j)) * u[i]; };
    detail::reduce_columns(device.policy(), kernel.rows, kernel.cols, weighted, thrust::plus<L>(), L(0),
                           w.partial_sums.data(), w.column_sums.data());
    return detail::merge_updates(device, updates, kernel.rows);
  }

  template <class Scalar, class L>
  static FactorUpdate<L> update_columns(const Device& device, Index cols, L lambda, L omega, Workspace<Scalar>& w) {
    const L *const targets = w.col_target.data(), *const sums = w.column_sums.data(), *const v = w.v.data();
    L* const next = w.next.data();
    FactorUpdate<L>* const updates = w.column_updates.data();
    detail::for_each_index(device.policy(), cols, [=] SWAV_HOST_DEVICE(Index j) {
      FactorUpdate<L> update;
      next[j] = detail::update_column(targets[j], sums[j], v[j], lambda, omega, update);
      updates[j] = update;
    });
    return detail::merge_updates(device, updates, cols);
  }

  template <class Scalar>
  static void accept_columns(Workspace<Scalar>& w) {
    std::swap(w.v, w.next);
  }

  template <class Scalar, class L>
  static void row_potentials(const Device& device, Index rows, L epsilon, Workspace<Scalar>& w) {
    write_potentials(device, w.base_f.data(), w.u.data(), rows, epsilon, w.f.data());
  }
  template <class Scalar, class L>
  static void column_potentials(const Device& device, Index cols, L epsilon, const Buffer<L>& factors,
                                Workspace<Scalar>& w) {
    write_potentials(device, w.base_g.data(), factors.data(), cols, epsilon, w.g.data());
  }

  // Below are parts of the passes; nvcc allows no lambdas of device code in private functions, or where the return type
  // is deduced.

  template <class Kernel, class Formula>
  static void write_kernel(const Device& device, Formula formula, Index rows, Index cols, Kernel* entries) {
    detail::for_each_entry(device.policy(), rows, cols,
                           [=] SWAV_HOST_DEVICE(Index i, Index j) { entries[i * cols + j] = formula(i, j); });
  }
  template <class L>
  static void write_targets(const Device& device, const L* masses, const L* bases, Index size, L inverse, L* targets) {
    detail::for_each_index(device.policy(), size, [=] SWAV_HOST_DEVICE(Index i) {
      targets[i] = masses[i] > 0 && inverse > L(0) ? masses[i] * std::exp(-bases[i] * inverse) : masses[i];
    });
  }
  template <class L>
  static void move_base(const Device& device, L* base, L* target, Index size, L move, L factor) {
    detail::for_each_index(device.policy(), size, [=] SWAV_HOST_DEVICE(Index i) {
      base[i] += move;
      target[i] *= factor;
    });
  }
  template <class L>
  static void write_potentials(const Device& device, const L* base, const L* factors, Index size, L epsilon,
                               L* potentials) {
    detail::for_each_index(device.policy(), size, [=] SWAV_HOST_DEVICE(Index i) {
      potentials[i] = factors[i] > 0 ? base[i] + epsilon * std::log(factors[i]) : -std::numeric_limits<L>::infinity();
    });
  }
  template <class Kernel, class Scalar>
  static Kernel* kernel_memory(Workspace<Scalar>& w, Index size) {
    if constexpr (std::is_same_v<Kernel, PotentialScalar<Scalar>>)
      return w.kernel.reserve(size);
    else
      return w.single_kernel.reserve(size);
  }
};

}  // namespace swav
