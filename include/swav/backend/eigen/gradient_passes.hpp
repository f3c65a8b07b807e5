// The passes of a transport's gradients on the CPU. In: a cost, potentials, weights. Out: sums over rows and columns, a
// row of the cost at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "swav/backend/eigen/cost_rows.hpp"
#include "swav/backend/eigen/device.hpp"
#include "swav/backend/eigen/transport_plan.hpp"
#include "swav/backend/eigen/transport_rows.hpp"
#include "swav/sinkhorn/gradients.hpp"

namespace swav {

template <class Product>
struct GradientPasses<BasicEigenDevice<Product>> {
  using Device = BasicEigenDevice<Product>;

  template <class Cost, class L>
  static void row_soft_minima(const Device& device, const Cost& cost, const L* g, double epsilon, L* out) {
    const L inverse = detail::inverse_of(static_cast<L>(epsilon));
    for_rows(device, cost, [&](int, Index i, const ConstRow<L>& row, Row<L>& scratch) {
      scratch = row - ConstRow<L>(g, row.size());
      out[i] = detail::exponentiate_from_least(scratch, inverse);
      if (out[i] == std::numeric_limits<L>::infinity()) return;
      out[i] -= static_cast<L>(epsilon) * std::log(scratch.sum());
    });
  }

  template <class Cost, class L>
  static void column_minima(const Device& device, const Cost& cost, const L* f, L* out) {
    const auto merge = [](Row<L>& total, const Row<L>& part) { total = total.min(part); };
    over_columns(device, cost, std::numeric_limits<L>::infinity(), merge, out,
                 [&](Index i, const ConstRow<L>& row, Row<L>&, Row<L>& minima) { minima = minima.min(row - f[i]); });
  }

  template <class Cost, class L>
  static void column_sums(const Device& device, const Cost& cost, const L* f, const L* minima, double epsilon, L* out) {
    const L inverse = detail::inverse_of(static_cast<L>(epsilon));
    const auto merge = [](Row<L>& total, const Row<L>& part) { total += part; };
    over_columns(device, cost, L(0), merge, out, [&](Index i, const ConstRow<L>& row, Row<L>& scratch, Row<L>& sums) {
      if (f[i] == -std::numeric_limits<L>::infinity()) return;
      for (Index j = 0; j < row.size(); ++j) {
        const L exponent = (f[i] - row[j] + minima[j]) * inverse;
        scratch[j] = exponent >= detail::lowest_exponent<L>() ? exponent : detail::lowest_exponent<L>();
      }
      detail::exponentiate(scratch);
      sums += scratch;
    });
  }

  template <class Cost, class L>
  static void through_points(const Device& device, const Cost& cost, const L* f, const L* g, double epsilon,
                             MatrixView<L> out) {
    const L inverse = detail::inverse_of(static_cast<L>(epsilon)), lowest = detail::lowest_exponent<L>();
    const Points<L> x(cost.x), y(cost.y);
    for_rows(device, cost, [&](int, Index i, const ConstRow<L>& row, Row<L>& scratch) {
      scratch = ((f[i] + ConstRow<L>(g, row.size()) - row) * inverse).max(lowest);
      detail::exponentiate(scratch);
      add_gradients(cost, x, y, i, scratch, out.row(i));
    });
  }

  template <class Cost, class Scalar, class L>
  static void through_points(const Device& device, const Cost& cost, MatrixView<const Scalar> weights,
                             MatrixView<L> out) {
    const Points<L> x(cost.x), y(cost.y);
    device.for_shares(cost.rows, [&](int, Index first, Index count) {
      for (Index i = first; i < first + count; ++i)
        add_gradients(cost, x, y, i, weights_row<L>(weights, i), out.row(i));
    });
  }

  template <class L, class Cost>
  static RowMatrix<L> plan(const Device& device, const Cost& cost, const L* f, const L* g, double epsilon) {
    RowMatrix<L> plan(cost.rows, cost.cols);
    TransportPasses<Device>::plan(device, cost, f, g, epsilon, MatrixView<L>(plan));
    return plan;
  }

  template <class Scalar, class L>
  static void weighted_sums(const Device& device, const RowMatrix<L>& plan, MatrixView<const Scalar> weights, L* rows,
                            L* columns) {
    over_rows_of_plan(device, plan, columns, [&](Index i, Row<L>& sums) {
      const ConstRow<L> row(plan.data() + i * plan.cols(), plan.cols());
      rows[i] = (row * weights_row<L>(weights, i)).sum();
      sums += row * weights_row<L>(weights, i);
    });
  }

  template <class L>
  static void multiply(const Device& device, const RowMatrix<L>& plan, const L* v, L* out) {
    const Eigen::Map<const Eigen::Matrix<L, Eigen::Dynamic, 1>> vector(v, plan.cols());
    device.for_shares(plan.rows(), [&](int, Index first, Index count) {
      Eigen::Map<Eigen::Matrix<L, Eigen::Dynamic, 1>>(out + first, count).noalias() =
          plan.middleRows(first, count) * vector;
    });
  }

  template <class L>
  static void multiply_transposed(const Device& device, const RowMatrix<L>& plan, const L* v, L* out) {
    over_rows_of_plan(device, plan, out, [&](Index i, Row<L>& sums) {
      if (v[i] != 0) sums += v[i] * ConstRow<L>(plan.data() + i * plan.cols(), plan.cols());
    });
  }

  template <class Scalar, class L>
  static void plan_gradient(const Device& device, MatrixView<const Scalar> weights, const L* alpha, const L* beta,
                            L epsilon, RowMatrix<L>& plan) {
    const ConstRow<L> columns(beta, plan.cols());
    device.for_shares(plan.rows(), [&](int, Index first, Index count) {
      for (Index i = first; i < first + count; ++i)
        plan.row(i).array() *= (alpha[i] + columns - weights_row<L>(weights, i)) / epsilon;
    });
  }

  template <class Scalar>
  static void subtract_mean(const Device&, const RowMatrix<Scalar>& x, const RowMatrix<Scalar>& y,
                            RowMatrix<Scalar>& from) {
    for (Index i = 0; i < from.size(); ++i) from.data()[i] -= (x.data()[i] + y.data()[i]) / 2;
  }

 private:
  template <class L>
  using Row = detail::ArrayMap<L>;
  template <class L>
  using ConstRow = detail::ConstArrayMap<L>;

  template <class L>
  struct Points {
    RowMatrix<L> points;
    template <class Scalar>
    explicit Points(MatrixView<const Scalar> from)
        : points(detail::as_eigen(from).template cast<Accumulator<Scalar>>().template cast<L>()) {}
    [[nodiscard]] VectorView<const L> operator[](Index i) const {
      return {points.data() + i * points.cols(), points.cols()};
    }
  };

  template <class L, class Scalar>
  static auto weights_row(MatrixView<const Scalar> weights, Index i) {
    return ConstRow<Scalar>(weights.row(i), weights.cols).template cast<Accumulator<Scalar>>().template cast<L>();
  }

  template <class Cost, class L, class Weights>
  static void add_gradients(const Cost& cost, const Points<L>& x, const Points<L>& y, Index i, const Weights& weights,
                            L* out) {
    std::fill_n(out, x.points.cols(), L(0));
    for (Index j = 0; j < cost.cols; ++j)
      if (const L weight = weights[j]; weight != 0) cost.metric.add_gradient(x[i], y[j], weight, out);
  }

  // Calls body(share, i, row of the cost, m elements of scratch).
  template <class Cost, class Body>
  static void for_rows(const Device& device, const Cost& cost, const Body& body) {
    using L = typename detail::CostRows<Cost>::L;
    typename Device::template Buffer<L> points, storage;
    const detail::CostRows<Cost> rows(device, cost, points);
    const Index cols = cost.cols;
    storage.reserve(device.shares(cost.rows) * 2 * cols);
    device.for_shares(cost.rows, [&](int share, Index first, Index count) {
      L* const scratch = storage.data() + share * 2 * cols;
      Row<L> free(scratch + cols, cols);
      for (Index i = first; i < first + count; ++i) body(share, i, rows.load(i, 0, cols, scratch), free);
    });
  }

  // Calls body(i, row, scratch, the share's m values) and merges the shares' values in their order.
  template <class Cost, class L, class Merge, class Body>
  static void over_columns(const Device& device, const Cost& cost, L start, const Merge& merge, L* out,
                           const Body& body) {
    const Index cols = cost.cols;
    std::vector<L> values(static_cast<std::size_t>(device.shares(cost.rows) * cols), start);
    for_rows(device, cost, [&](int share, Index i, const ConstRow<L>& row, Row<L>& scratch) {
      Row<L> mine(values.data() + share * cols, cols);
      body(i, row, scratch, mine);
    });
    Row<L> total(out, cols);
    total.setConstant(start);
    for (int share = 0; share < device.shares(cost.rows); ++share)
      merge(total, Row<L>(values.data() + share * cols, cols));
  }

  template <class L, class Body>
  static void over_rows_of_plan(const Device& device, const RowMatrix<L>& plan, L* out, const Body& body) {
    const Index cols = plan.cols();
    std::vector<L> values(static_cast<std::size_t>(device.shares(plan.rows()) * cols));
    device.for_shares(plan.rows(), [&](int share, Index first, Index count) {
      Row<L> mine(values.data() + share * cols, cols);
      for (Index i = first; i < first + count; ++i) body(i, mine);
    });
    Row<L> total(out, cols);
    total.setZero();
    for (int share = 0; share < device.shares(plan.rows()); ++share)
      total += Row<L>(values.data() + share * cols, cols);
  }
};

}  // namespace swav
