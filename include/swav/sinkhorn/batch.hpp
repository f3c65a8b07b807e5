// Many transport problems solved at once, free of any backend. In: costs and masses of N problems, options, a device.
// Out: N transports. Users include swav/sinkhorn/sinkhorn.hpp, which adds the CPU backend.
#pragma once

#include <utility>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/basic_batch.hpp"
#include "swav/sinkhorn/batch_result.hpp"
#include "swav/sinkhorn/options.hpp"

namespace swav {

/// The parts of padded problems that count: problem k has the first rows[k] rows and cols[k] columns of its cost and
/// masses; what lies beyond is never read. Empty: all of them. (Rows that are masked in any other way have mass 0.)
struct BatchSizes {
  VectorView<const Index> rows = {}, cols = {};
};

/// Sinkhorn::solve for N problems: each gets the potentials and costs that it would get alone, up to rounding, stops
/// when it has converged itself, and is solved by one thread, so that results do not depend on the number of threads.
///
/// Input is checked as Sinkhorn::solve does; InvalidInput names the first bad problem. Problems that have no solution
/// have a status that says so, and leave the others alone.
///
/// An object owns its workspace, one problem's for every thread, and one object must not be used by two threads at
/// once.
template <StorageScalar Scalar, class Device = EigenDevice>
class SinkhornBatch {
 public:
  using Result = BatchResult<Scalar, Device>;
  using Costs = MatrixView<const Scalar>;
  using Masses = VectorView<const Scalar>;

  /// Throws InvalidInput when an option is out of range, or there is a progress callback: there is no one run to
  /// report.
  explicit SinkhornBatch(SinkhornOptions options = {}, Device device = {})
      : options_(std::move(options)), solver_(options_, device) {
    detail::check(options_);
    detail::require(!options_.progress, "SinkhornOptions.progress: a callback found, none wanted in SinkhornBatch");
  }

  [[nodiscard]] const SinkhornOptions& options() const { return options_; }

  /// N problems of n rows each, whose costs lie below one another in `costs` (N n x m), with masses a (N x n) and
  /// b (N x m), uniform (over the parts that count) where empty. The result refers to `costs`.
  /// Throws InvalidInput on wrong shapes, sizes outside 1 to n or 1 to m, and what Sinkhorn::solve throws on.
  [[nodiscard]] Result solve(Costs costs, Index n, MatrixView<const Scalar> a = {}, MatrixView<const Scalar> b = {},
                             BatchSizes sizes = {}) {
    Result result;
    stack(costs, n, a, b, sizes);
    solver_.solve_into(costs_, {a, {}}, {b, {}}, result);
    return result;
  }

  /// N problems of any shapes, each with its masses; a or b empty: all uniform, one of the N empty: that is uniform.
  /// The result refers to the costs, not to `costs` itself.
  [[nodiscard]] Result solve(VectorView<const Costs> costs, VectorView<const Masses> a = {},
                             VectorView<const Masses> b = {}) {
    Result result;
    list(costs, a, b);
    solver_.solve_into(costs_, {{}, a}, {{}, b}, result);
    return result;
  }

  /// The same into `result`, which is unchanged when this throws. Allocates nothing after the first call of a shape, at
  /// the price of a second result that is kept here.
  void solve_into(Costs costs, Index n, MatrixView<const Scalar> a, MatrixView<const Scalar> b, BatchSizes sizes,
                  Result& result) {
    stack(costs, n, a, b, sizes);
    solve_into({a, {}}, {b, {}}, result);
  }
  void solve_into(VectorView<const Costs> costs, VectorView<const Masses> a, VectorView<const Masses> b,
                  Result& result) {
    list(costs, a, b);
    solve_into({{}, a}, {{}, b}, result);
  }

 private:
  void solve_into(const detail::BatchMasses<Scalar>& a, const detail::BatchMasses<Scalar>& b, Result& result) {
    solver_.solve_into(costs_, a, b, spare_);
    if (result.problems.empty()) result = spare_;
    std::swap(result, spare_);
  }

  void stack(Costs costs, Index n, MatrixView<const Scalar> a, MatrixView<const Scalar> b, BatchSizes sizes) {
    detail::check_view("SinkhornBatch: costs", costs);
    detail::check_view("SinkhornBatch: a", a);
    detail::check_view("SinkhornBatch: b", b);
    detail::require(n > 0 && costs.cols > 0, "SinkhornBatch: problems of ", n, " x ", costs.cols,
                    " found, at least 1 x 1 wanted");
    detail::require(costs.rows % n == 0, "SinkhornBatch: costs of ", costs.rows, " rows found, a multiple of n = ", n,
                    " wanted");
    const Index problems = costs.rows / n;
    const auto check_masses = [&](MatrixView<const Scalar> masses, Index size, const char* name) {
      detail::require(masses.rows == 0 || (masses.rows == problems && masses.cols == size), "SinkhornBatch: ", name,
                      " of shape ", masses.rows, " x ", masses.cols, " found, ", problems, " x ", size,
                      " or no rows wanted");
    };
    check_masses(a, n, "a");
    check_masses(b, costs.cols, "b");
    const auto check_sizes = [&](VectorView<const Index> counts, Index most, const char* name) {
      detail::require(counts.size == 0 || counts.size == problems, "SinkhornBatch: sizes.", name, " of ", counts.size,
                      " problems found, ", problems, " or 0 wanted");
      for (Index k = 0; k < counts.size; ++k)
        detail::require(counts[k] >= 1 && counts[k] <= most, "SinkhornBatch: problem ", k, ": sizes.", name, " ",
                        counts[k], " found, 1 to ", most, " wanted");
    };
    check_sizes(sizes.rows, n, "rows");
    check_sizes(sizes.cols, costs.cols, "cols");
    costs_.stacked = costs;
    costs_.rows = n;
    costs_.row_counts.assign(sizes.rows.begin(), sizes.rows.end());
    costs_.col_counts.assign(sizes.cols.begin(), sizes.cols.end());
    costs_.list.clear();
  }

  void list(VectorView<const Costs> costs, VectorView<const Masses> a, VectorView<const Masses> b) {
    const auto check_count = [&](Index found, const char* name) {
      detail::require(found == 0 || found == costs.size, "SinkhornBatch: ", name, " of ", found, " problems found, ",
                      costs.size, " or 0 wanted");
    };
    check_count(a.size, "a");
    check_count(b.size, "b");
    costs_.rows = 0;
    costs_.stacked = {};
    costs_.list.assign(costs.begin(), costs.end());
    costs_.first_row.assign(1, 0);
    costs_.first_col.assign(1, 0);
    for (const Costs& cost : costs) {
      detail::check_view("SinkhornBatch: cost", cost);
      costs_.first_row.push_back(costs_.first_row.back() + cost.rows);
      costs_.first_col.push_back(costs_.first_col.back() + cost.cols);
    }
  }

  SinkhornOptions options_;
  detail::BatchSolver<Scalar, Device> solver_;
  detail::BatchCosts<Scalar> costs_;  // of the call under way
  Result spare_;
};

}  // namespace swav
