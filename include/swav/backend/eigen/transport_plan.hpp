// What is computed from the potentials of a transport on the CPU: sums over the plan, its products, the plan itself.
// In: cost, f, g. Out: each a row of the plan at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/backend/eigen/cost_rows.hpp"
#include "swav/backend/eigen/device.hpp"
#include "swav/backend/eigen/transport_rows.hpp"
#include "swav/sinkhorn/exponents.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// The part of TransportPasses that reads potentials and nothing else.
template <class Device>
struct TransportPlanPasses {
  template <class Cost, class Workspace, class L>
  static PlanSums<L> evaluate(const Device& device, const CostRows<Cost>& cost, L epsilon, Workspace& w) {
    constexpr Index tile = 1024;  // columns, whose values stay in L1
    const Index cols = cost.cols;
    device.for_shares(cost.rows, [&](int share, Index first, Index count) {
      ArrayMap<L> sums(w.partial_sums.data() + share * cols, cols);
      sums.setZero();
      PlanSums<L> part;
      for (Index i = first; i < first + count; ++i) {
        L sum = 0;
        for (Index start = 0; start < cols; start += tile) {
          const PlanPart<L> entries(cost, w.f.data()[i], w.g.data(), epsilon, i, start, std::min(tile, cols - start),
                                    w.row_scratch.data() + share * 3 * cols);
          // A cost is +inf only where the plan is 0.
          part.cost += (entries.plan * entries.cost.min(std::numeric_limits<L>::max())).sum();
          part.entropy -= (entries.plan * entries.exponents).sum();
          sum += entries.plan.sum();
          sums.segment(start, entries.plan.size()) += entries.plan;
        }
        part.mass += sum;
        add_marginal(sum, w.a.data()[i], part.error_a, part.log_a, part.divergence_a);
      }
      w.shares.data()[share].sums = part;
    });
    PlanSums<L> total;
    ArrayMap<L> column_sums(w.column_sums.data(), cols);
    column_sums.setZero();
    for (int share = 0; share < device.shares(cost.rows); ++share) {
      const PlanSums<L>& part = w.shares.data()[share].sums;
      total.mass += part.mass;
      total.cost += part.cost;
      total.entropy += part.entropy;
      total.error_a += part.error_a;
      total.log_a += part.log_a;
      total.divergence_a += part.divergence_a;
      column_sums += ConstArrayMap<L>(w.partial_sums.data() + share * cols, cols);
    }
    return total;
  }

  template <class Workspace, class L>
  static void evaluate_columns(const Device&, Index cols, const Workspace& w, PlanSums<L>& sums) {
    for (Index j = 0; j < cols; ++j)
      add_marginal(w.column_sums.data()[j], w.b.data()[j], sums.error_b, sums.log_b, sums.divergence_b);
  }

  template <class Cost, class Scalar>
  static void cost_matrix(const Device& device, const Cost& cost, MatrixView<Scalar> out) {
    using L = PotentialScalar<Scalar>;
    typename Device::template Buffer<L> points, scratch;
    const CostRows<Cost> rows(device, cost, points);
    scratch.reserve(device.shares(cost.rows) * cost.cols);
    device.for_shares(cost.rows, [&](int share, Index first, Index count) {
      for (Index i = first; i < first + count; ++i) {
        const ConstArrayMap<L> row = rows.load(i, 0, cost.cols, scratch.data() + share * cost.cols);
        ArrayMap<Scalar> entries(out.row(i), out.cols);
        entries = row.template cast<Accumulator<Scalar>>().template cast<Scalar>();
        require(CostRows<Cost>::may_forbid || (entries.template cast<Accumulator<Scalar>>() * 0).isZero(0),
                "cost_matrix: a cost between finite and infinite found in row ", i, ", finite costs wanted");
      }
    });
  }

  template <class Cost, class Scalar, class L>
  static void plan(const Device& device, const Cost& cost, const L* f, const L* g, double epsilon,
                   MatrixView<Scalar> out) {
    for_shares_of_plan(device, cost, f, g, epsilon, [&](int, Index i, const ArrayMap<L>& row) {
      ArrayMap<Scalar>(out.row(i), out.cols) = row.template cast<Accumulator<Scalar>>().template cast<Scalar>();
    });
  }

  template <class Cost, class Scalar, class L>
  static void apply(const Device& device, const Cost& cost, const L* f, const L* g, double epsilon,
                    MatrixView<const Scalar> x, bool transposed, MatrixView<L> out) {
    const RowMatrix<L> values = as_eigen(x).template cast<Accumulator<Scalar>>().template cast<L>();
    RowMatrix<L> partial = RowMatrix<L>::Zero(transposed ? out.rows * device.shares(cost.rows) : 0, out.cols);
    for_shares_of_plan(device, cost, f, g, epsilon, [&](int share, Index i, const ArrayMap<L>& row) {
      if (transposed)
        partial.middleRows(share * out.rows, out.rows).noalias() += row.matrix().transpose() * values.row(i);
      else
        as_eigen(out).row(i).noalias() = row.matrix() * values;
    });
    if (!transposed) return;
    as_eigen(out).setZero();
    for (int share = 0; share < device.shares(cost.rows); ++share)
      as_eigen(out) += partial.middleRows(share * out.rows, out.rows);
  }

  /// out_i = sum_j y_j softmax_j((g_j - C_ij)/epsilon) for a PointCost. Returns a row without an entry that is allowed
  /// and no NaN, or -1.
  template <class Scalar, class Metric, class L>
  static Index map(const Device& device, const PointCost<Scalar, Metric>& cost, const L* g, double epsilon,
                   MatrixView<L> out) {
    const RowMatrix<L> y = as_eigen(cost.y).template cast<Accumulator<Scalar>>().template cast<L>();
    const L inverse = inverse_of(static_cast<L>(epsilon));
    const Index cols = cost.cols;
    typename Device::template Buffer<L> points, scratch;
    const CostRows<PointCost<Scalar, Metric>> rows(device, cost, points);
    scratch.reserve(device.shares(cost.rows) * cols);
    std::vector<Index> stranded(static_cast<std::size_t>(device.shares(cost.rows)), -1);
    device.for_shares(cost.rows, [&](int share, Index first, Index count) {
      ArrayMap<L> weights(scratch.data() + share * cols, cols);
      for (Index i = first; i < first + count; ++i) {
        weights = rows.load(i, 0, cols, weights.data()) - ConstArrayMap<L>(g, cols);
        exponentiate_from_least(weights, inverse);
        const L sum = weights.sum();
        if (!(sum > 0)) stranded[static_cast<std::size_t>(share)] = i;
        as_eigen(out).row(i).noalias() = weights.matrix() * y / sum;
      }
    });
    return stranded.empty() ? -1 : *std::max_element(stranded.begin(), stranded.end());
  }

  template <class Scalar, class L>
  static RowMatrix<Scalar> converted(const Device&, RowMatrix<L>&& from) {
    if constexpr (std::is_same_v<Scalar, L>)
      return std::move(from);
    else
      return from.template cast<Accumulator<Scalar>>().template cast<Scalar>();
  }

  template <class Cost, class L>
  static void marginal(const Device& device, const Cost& cost, const L* f, const L* g, double epsilon, bool columns,
                       L* sums) {
    const Index cols = cost.cols;
    std::vector<L> partial(static_cast<std::size_t>(columns ? device.shares(cost.rows) * cols : 0));
    for_shares_of_plan(device, cost, f, g, epsilon, [&](int share, Index i, const ArrayMap<L>& row) {
      if (columns)
        ArrayMap<L>(partial.data() + share * cols, cols) += row;
      else
        sums[i] = row.sum();
    });
    if (!columns) return;
    std::fill_n(sums, cols, L(0));
    for (int share = 0; share < device.shares(cost.rows); ++share)
      ArrayMap<L>(sums, cols) += ArrayMap<L>(partial.data() + share * cols, cols);
  }

 private:
  template <class L>
  static void add_marginal(L sum, L mass, L& error, L& log_mass, L& divergence) {
    error += std::abs(sum - mass);
    if (mass > 0) log_mass += sum * std::log(mass);
    divergence += mass > 0 ? mass * relative_divergence((sum - mass) / mass) : -sum;
  }

  // A part of row i, from column `first` on, with 3 count elements of scratch. Where the plan is 0 its exponent is
  // finite still.
  template <class L>
  struct PlanPart {
    template <class Cost>
    PlanPart(const CostRows<Cost>& costs, L f, const L* g, L epsilon, Index i, Index first, Index count, L* scratch)
        : cost(costs.load(i, first, count, scratch)),
          exponents(scratch + count, count),
          plan(scratch + 2 * count, count) {
      exponents = ((f + ConstArrayMap<L>(g + first, count) - cost) * inverse_of(epsilon)).max(lowest_exponent<L>());
      plan = exponents;
      exponentiate(plan);
    }
    ConstArrayMap<L> cost;
    ArrayMap<L> exponents, plan;
  };

  // Calls body(share, i, row of the plan).
  template <class Cost, class L, class Body>
  static void for_shares_of_plan(const Device& device, const Cost& cost, const L* f, const L* g, double epsilon,
                                 const Body& body) {
    typename Device::template Buffer<L> points, scratch;
    const CostRows<Cost> rows(device, cost, points);
    scratch.reserve(device.shares(cost.rows) * 3 * cost.cols);
    device.for_shares(cost.rows, [&](int share, Index first, Index count) {
      for (Index i = first; i < first + count; ++i) {
        const PlanPart<L> row(rows, f[i], g, static_cast<L>(epsilon), i, 0, cost.cols,
                              scratch.data() + share * 3 * cost.cols);
        body(share, i, row.plan);
      }
    });
  }
};

}  // namespace swav::detail
