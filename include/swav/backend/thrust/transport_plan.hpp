// What is computed from the potentials of a transport by Thrust: sums over the plan, its products, the plan itself.
// In: cost, f, g. Out: nothing of the plan's size but the plan, where that is asked for.
#pragma once

#include <thrust/functional.h>

#include <cmath>
#include <limits>
#include <utility>

#include "swav/backend/thrust/cost_entries.hpp"
#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/backend/thrust/transport_workspace.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/exponents.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// P_ij, 0 where that is not a normal number; its exponent is finite still.
template <class Entries>
struct PlanEntry {
  using L = typename Entries::L;
  Entries cost;
  const L *f, *g;
  L inverse;
  SWAV_HOST_DEVICE L exponent(Index i, Index j) const {
    const L value = (f[i] + g[j] - cost(i, j)) * inverse;
    return value >= lowest_exponent<L>() ? value : lowest_exponent<L>();
  }
  SWAV_HOST_DEVICE L operator()(Index i, Index j) const {
    const L value = std::exp(exponent(i, j));
    return value > L(8) * std::numeric_limits<L>::min() ? value : L(0);
  }
};

/// exp((g_j - C_ij)/epsilon) relative to its largest of the row, 0 where that is no normal number.
template <class Entries>
struct SoftmaxEntry {
  using L = typename Entries::L;
  Entries cost;
  const L* g;
  const LogSum<L>* rows;
  L inverse;
  SWAV_HOST_DEVICE L operator()(Index i, Index j) const {
    const L exponent = (g[j] - cost(i, j) - rows[i].largest) * inverse;
    return exponent >= lowest_exponent<L>() ? std::exp(exponent) : L(0);
  }
};

template <class L>
struct AddRowsOfPlan {
  SWAV_HOST_DEVICE RowOfPlan<L> operator()(const RowOfPlan<L>& x, const RowOfPlan<L>& y) const {
    return {x.mass + y.mass, x.cost + y.cost, x.entropy + y.entropy};
  }
};

template <class L>
struct AddPlanSums {
  SWAV_HOST_DEVICE PlanSums<L> operator()(PlanSums<L> x, const PlanSums<L>& y) const {
    x.mass += y.mass;
    x.cost += y.cost;
    x.entropy += y.entropy;
    x.error_a += y.error_a;
    x.error_b += y.error_b;
    x.log_a += y.log_a;
    x.log_b += y.log_b;
    x.divergence_a += y.divergence_a;
    x.divergence_b += y.divergence_b;
    return x;
  }
};

/// What a row's or column's sum says of its marginal.
template <class L>
struct MarginalTerms {
  L error, log_mass, divergence;
  SWAV_HOST_DEVICE MarginalTerms(L sum, L mass)
      : error(std::abs(sum - mass)),
        log_mass(mass > 0 ? sum * std::log(mass) : L(0)),
        divergence(mass > 0 ? mass * relative_divergence((sum - mass) / mass) : -sum) {}
};

/// A device's copies of host potentials.
template <class Device, class L>
struct PotentialsOnDevice {
  typename Device::template Buffer<L> f, g, points;
  PotentialsOnDevice(const Device& device, Index rows, const L* host_f, Index cols, const L* host_g) {
    upload(device.policy(), host_f, rows, f.reserve(rows));
    upload(device.policy(), host_g, cols, g.reserve(cols));
  }
};

/// The part of TransportPasses that reads potentials and nothing else.
template <class Device>
struct ThrustPlanPasses {
  template <class Scalar>
  using Workspace = ThrustTransportWorkspace<Device, Scalar>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;
  template <class T>
  using Matrix = typename Device::template Matrix<T>;

  template <class Policy, class Cost, class Scalar, class L>
  static PlanSums<L> evaluate(const Device& device, const CostEntries<Policy, Cost>& whole, L epsilon,
                              Workspace<Scalar>& w) {
    const auto cost = whole.in_blocks(epsilon);
    const PlanEntry<CostEntries<Policy, Cost>> plan{cost, w.f.data(), w.g.data(), inverse_of(epsilon)};
    const auto entry = [=] SWAV_HOST_DEVICE(Index i, Index j) {
      const L mass = plan(i, j);
      // A cost is +inf only where the plan is 0.
      return RowOfPlan<L>{mass, mass > 0 ? mass * plan.cost(i, j) : L(0), -mass * plan.exponent(i, j)};
    };
    RowOfPlan<L>* const rows = w.plan_rows.data();
    reduce_rows(device, cost, entry, AddRowsOfPlan<L>(), rows);
    reduce_columns(device.policy(), cost, plan, thrust::plus<L>(), L(0), w.partial_sums.data(), w.column_sums.data());
    const L* const masses = w.a.data();
    const auto sums = [=] SWAV_HOST_DEVICE(Index i) {
      const MarginalTerms<L> terms(rows[i].mass, masses[i]);
      PlanSums<L> part;
      part.mass = rows[i].mass;
      part.cost = rows[i].cost;
      part.entropy = rows[i].entropy;
      part.error_a = terms.error;
      part.log_a = terms.log_mass;
      part.divergence_a = terms.divergence;
      return part;
    };
    return reduce_indices(device, cost.rows, sums, PlanSums<L>(), AddPlanSums<L>());
  }

  template <class Scalar, class L>
  static void evaluate_columns(const Device& device, Index cols, const Workspace<Scalar>& w, PlanSums<L>& sums) {
    const L *const masses = w.b.data(), *const found = w.column_sums.data();
    const auto part = [=] SWAV_HOST_DEVICE(Index j) {
      const MarginalTerms<L> terms(found[j], masses[j]);
      PlanSums<L> of_column;
      of_column.error_b = terms.error;
      of_column.log_b = terms.log_mass;
      of_column.divergence_b = terms.divergence;
      return of_column;
    };
    sums = AddPlanSums<L>()(sums, reduce_indices(device, cols, part, PlanSums<L>(), AddPlanSums<L>()));
  }

  template <class Cost, class Scalar>
  static void cost_matrix(const Device& device, const Cost& cost, MatrixView<Scalar> out) {
    using Entries = typename TransportPasses<Device>::template CostRows<Cost>;
    Buffer<PotentialScalar<Scalar>> points;
    write_entries(device, Entries(device, cost, points), out);
    const auto overflows = [=] SWAV_HOST_DEVICE(Index i, Index j) {
      const auto entry = static_cast<Accumulator<Scalar>>(out.data[i * out.stride + j]);
      return !(entry * 0 == 0);
    };
    Buffer<bool> found;
    bool* const rows = found.reserve(cost.rows);
    const Device own(device);  // another thread may use the device's scratch
    reduce_rows(own, cost.rows, cost.cols, overflows, thrust::logical_or<bool>(), rows);
    const auto place = [=] SWAV_HOST_DEVICE(Index i) { return rows[i] ? i : cost.rows; };
    const Index bad = reduce_indices(own, cost.rows, place, cost.rows, Smaller<Index>());
    require(Entries::may_forbid || bad == cost.rows, "cost_matrix: a cost between finite and infinite found in row ",
            bad, ", finite costs wanted");
  }

  // `own` is the device itself, or one that becomes it and has entries and products of its own.

  template <class Own, class Cost, class Scalar, class L>
  static void plan(const Own& own, const Cost& cost, const L* f, const L* g, double epsilon, MatrixView<Scalar> out) {
    const Device& device = own;
    PotentialsOnDevice<Device, L> on_device(device, cost.rows, f, cost.cols, g);
    const auto entry = plan_of(own, cost, on_device, epsilon);
    entry.cost.for_row_blocks([&](Index first, Index count) {
      write_entries(device, RowsFrom<std::decay_t<decltype(entry)>>{first, entry}, out.middle_rows(first, count));
    });
  }

  template <class Own, class Cost, class Scalar, class L>
  static void apply(const Own& own, const Cost& cost, const L* f, const L* g, double epsilon,
                    MatrixView<const Scalar> x, bool transposed, MatrixView<L> out) {
    const Device& device = own;
    PotentialsOnDevice<Device, L> on_device(device, cost.rows, f, cost.cols, g);
    TransportPasses<Own>::multiply_entries(own, plan_of(own, cost, on_device, epsilon), x, transposed, out);
  }

  /// out_i = sum_j y_j softmax_j((g_j - C_ij)/epsilon) for a PointCost. Returns a row without an entry that is allowed
  /// and no NaN, or -1.
  template <class Own, class Scalar, class Metric, class L>
  static Index map(const Own& own, const PointCost<Scalar, Metric>& cost, const L* g, double epsilon,
                   MatrixView<L> out) {
    const Device& device = own;
    Buffer<L> potentials, points;
    upload(device.policy(), g, cost.cols, potentials.reserve(cost.cols));
    using Entries = typename TransportPasses<Device>::template CostRows<PointCost<Scalar, Metric>>;
    const Entries whole(own, cost, points);
    const auto entries = whole.in_blocks(static_cast<L>(epsilon));
    const L* const of_columns = potentials.data();
    const L inverse = inverse_of(static_cast<L>(epsilon));
    const auto exponential = [=] SWAV_HOST_DEVICE(Index i, Index j) {
      return LogSum<L>{of_columns[j] - entries(i, j), L(1)};
    };
    Buffer<LogSum<L>> found;
    LogSum<L>* const rows = found.reserve(cost.rows);
    const Device scratch(device);
    reduce_rows(scratch, entries, exponential, AddExponentials<L>{inverse}, rows);
    TransportPasses<Own>::multiply_entries(own, SoftmaxEntry<Entries>{entries, of_columns, rows, inverse}, cost.y,
                                           false, out);
    for_each_entry(device.policy(), out.rows, out.cols,
                   [=] SWAV_HOST_DEVICE(Index i, Index k) { out.data[i * out.stride + k] /= rows[i].sum; });
    const auto stranded = [=] SWAV_HOST_DEVICE(Index i) { return rows[i].sum > 0 ? Index{-1} : i; };
    return reduce_indices(scratch, cost.rows, stranded, Index{-1}, thrust::maximum<Index>());
  }

  /// out = E x or E' x for the matrix E of `entry`, which has the cost that it is made of.
  template <class Entry, class Scalar, class L>
  static void multiply_entries(const Device& device, const Entry& entry, MatrixView<const Scalar> x, bool transposed,
                               MatrixView<L> out) {
    const Index count = x.rows;
    for_each_entry(device.policy(), out.rows, out.cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      L sum = 0;
      for (Index k = 0; k < count; ++k)
        sum += (transposed ? entry(k, r) : entry(r, k)) *
               static_cast<L>(static_cast<Accumulator<Scalar>>(x.data[k * x.stride + c]));
      out.data[r * out.stride + c] = sum;
    });
  }

  /// out_rc = entry(r, c)
  template <class Entry, class Scalar>
  static void write_entries(const Device& device, Entry entry, MatrixView<Scalar> out) {
    for_each_entry(device.policy(), out.rows, out.cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      out.data[r * out.stride + c] = static_cast<Scalar>(static_cast<Accumulator<Scalar>>(entry(r, c)));
    });
  }

  template <class Scalar, class L>
  static Matrix<Scalar> converted(const Device& device, Matrix<L>&& from) {
    if constexpr (std::is_same_v<Scalar, L>) {
      return std::move(from);
    } else {
      Matrix<Scalar> to(from.rows(), from.cols());
      const L* const in = from.data();
      Scalar* const out = to.data();
      for_each_index(device.policy(), from.size(), [=] SWAV_HOST_DEVICE(Index i) {
        out[i] = static_cast<Scalar>(static_cast<Accumulator<Scalar>>(in[i]));
      });
      return to;
    }
  }

  template <class Own, class Cost, class L>
  static void marginal(const Own& own, const Cost& cost, const L* f, const L* g, double epsilon, bool columns,
                       L* sums) {
    const Device& device = own;
    PotentialsOnDevice<Device, L> on_device(device, cost.rows, f, cost.cols, g);
    const auto entry = plan_of(own, cost, on_device, epsilon);
    const Index size = columns ? cost.cols : cost.rows;
    Buffer<L> found, partial;
    found.reserve(size);
    if (columns)
      reduce_columns(device.policy(), entry.cost, entry, thrust::plus<L>(), L(0),
                     partial.reserve(reduction_chunks * cost.cols), found.data());
    else
      reduce_rows(Device(device), entry.cost, entry, thrust::plus<L>(), found.data());
    download(device.policy(), found.data(), size, sums);
  }

 private:
  template <class Own, class Cost, class L>
  static auto plan_of(const Own& own, const Cost& cost, PotentialsOnDevice<Device, L>& on_device, double epsilon) {
    using Entries = typename TransportPasses<Device>::template CostRows<Cost>;
    return PlanEntry<Entries>{Entries(own, cost, on_device.points).in_blocks(static_cast<L>(epsilon)),
                              on_device.f.data(), on_device.g.data(), inverse_of(static_cast<L>(epsilon))};
  }
};

}  // namespace swav::detail
