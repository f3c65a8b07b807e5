// What SinkhornBatch::solve returns. In: potentials, costs in the caller's memory. Out: each problem's numbers and
// plan.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/row_passes.hpp"
#include "swav/sinkhorn/transport_passes.hpp"
#include "swav/sinkhorn/transport_result.hpp"

namespace swav {

/// One problem's part of a BatchResult; the names mean what they mean in TransportResult.
struct BatchSummary {
  TransportStatus status = TransportStatus::max_iterations;
  bool converged = false;
  int iterations = 0;
  double marginal_error = 0;
  double mass = 0;
  double transport_cost = 0;
  double regularized_cost = 0;
  double dual_cost = 0;
  double entropy = 0;
};

namespace detail {
template <class, class>
class BatchSolver;

/// Where the costs of a batch lie: below one another in one matrix, or in a list of matrices.
template <class Scalar>
struct BatchCosts {
  using View = MatrixView<const Scalar>;

  View stacked;
  Index rows = 0;                             // a problem, of the stacked matrix; 0: there is a list
  std::vector<Index> row_counts, col_counts;  // of the stacked problems' valid parts; empty: all is
  std::vector<View> list;
  std::vector<Index> first_row, first_col;  // of each problem in the list among all rows and columns, and the totals

  [[nodiscard]] Index size() const { return rows > 0 ? stacked.rows / rows : static_cast<Index>(list.size()); }

  [[nodiscard]] bool one_shape() const { return rows > 0 && row_counts.empty() && col_counts.empty(); }

  /// Problem k without its padding.
  [[nodiscard]] View operator[](Index k) const {
    if (rows == 0) return at(list, k);
    return {stacked.row(k * rows), row_counts.empty() ? rows : at(row_counts, k),
            col_counts.empty() ? stacked.cols : at(col_counts, k), stacked.stride};
  }
  /// Where problem k's rows and columns begin and end among those of all problems, padding included.
  [[nodiscard]] Index row(Index k) const { return rows > 0 ? k * rows : at(first_row, k); }
  [[nodiscard]] Index col(Index k) const { return rows > 0 ? k * stacked.cols : at(first_col, k); }

 private:
  template <class T>
  static const T& at(const std::vector<T>& values, Index k) {
    return values[static_cast<std::size_t>(k)];
  }
};
}  // namespace detail

/// The transports of N problems. Of padded problems the padding is part of f, g and the plans: potentials -inf, plan 0.
template <class Scalar, class Device = EigenDevice>
class BatchResult {
 public:
  using Potential = PotentialScalar<Scalar>;
  using Matrix = typename Device::template Matrix<Scalar>;

  /// The potentials of all problems, one problem after the other: N x n and N x m where all have one shape.
  std::vector<Potential> f, g;
  std::vector<BatchSummary> problems;  ///< N
  double epsilon = 0;

  [[nodiscard]] Index size() const { return static_cast<Index>(problems.size()); }
  [[nodiscard]] const BatchSummary& operator[](Index k) const { return problems[static_cast<std::size_t>(k)]; }
  [[nodiscard]] VectorView<const Potential> f_of(Index k) const { return {f.data() + costs_.row(k), rows_of(k)}; }
  [[nodiscard]] VectorView<const Potential> g_of(Index k) const { return {g.data() + costs_.col(k), cols_of(k)}; }

  /// How many problems ended so.
  [[nodiscard]] Index count(TransportStatus status) const {
    return std::count_if(problems.begin(), problems.end(), [&](const BatchSummary& p) { return p.status == status; });
  }
  /// Whether all did.
  [[nodiscard]] bool converged() const { return count(TransportStatus::converged) == size(); }

  /// Problem k's P: one exponential an entry. Throws InvalidInput where there is no such problem.
  [[nodiscard]] Matrix plan(Index k) const {
    check_index(k);
    Matrix result(rows_of(k), cols_of(k));
    plan_into(k, result);
    return result;
  }
  void plan_into(Index k, MatrixView<Scalar> out) const {
    check_index(k);
    detail::require(out.rows == rows_of(k) && out.cols == cols_of(k), "BatchResult::plan_into: out of shape ", out.rows,
                    " x ", out.cols, " found, ", rows_of(k), " x ", cols_of(k), " wanted");
    write_plan(k, out, device_);
  }

  /// All plans of problems of one shape, one below the other (N n x m). Throws InvalidInput for a list.
  [[nodiscard]] Matrix plans() const {
    const bool one_shape = costs_.rows > 0 || size() == 0;
    detail::require(one_shape, "BatchResult::plans: a list of problems found, problems of one shape wanted");
    Matrix result(costs_.stacked.rows, costs_.stacked.cols);
    const MatrixView<Scalar> out(result);
    device_.for_shares(size(), [&](int, Index first, Index count) {
      for (Index k = first; k < first + count; ++k)
        write_plan(k, out.middle_rows(k * costs_.rows, costs_.rows), device_.of_share());
    });
    return result;
  }

 private:
  template <class, class>
  friend class detail::BatchSolver;

  [[nodiscard]] Index rows_of(Index k) const { return costs_.row(k + 1) - costs_.row(k); }
  [[nodiscard]] Index cols_of(Index k) const { return costs_.col(k + 1) - costs_.col(k); }

  void check_index(Index k) const {
    detail::require(k >= 0 && k < size(), "BatchResult::plan: problem ", k, " found, 0 to ", size() - 1, " wanted");
  }

  void write_plan(Index k, MatrixView<Scalar> out, const Device& device) const {
    const MatrixView<const Scalar> cost = costs_[k];
    const MatrixView<Scalar> beside(out.data + cost.cols, cost.rows, out.cols - cost.cols, out.stride);
    const MatrixView<Scalar> below = out.middle_rows(cost.rows, out.rows - cost.rows);
    for (const MatrixView<Scalar>& padding : {beside, below})
      if (padding.size() > 0) RowPasses<Device>::clear(device, padding);
    TransportPasses<Device>::plan(device, cost, f.data() + costs_.row(k), g.data() + costs_.col(k), epsilon,
                                  MatrixView<Scalar>(out.data, cost.rows, cost.cols, out.stride));
  }

  detail::BatchCosts<Scalar> costs_;
  Device device_;
};

}  // namespace swav
