// Rows of a cost on the CPU, one way for all kinds of cost. In: a matrix in memory, or points and a metric. Out: parts
// of rows in the type of potentials.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "swav/backend/eigen/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/point_cost.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// What the passes read a cost through:
///   CostRows(device, cost, buffer): the buffer is for what is prepared once, O(m d)
///   rows, cols; is_stored; may_forbid: whether an entry +inf is meant and not an overflow
///   load(i, first, count, scratch) -> entries first to first + count - 1 of row i: in `scratch` (count elements), or
///   where they already are
template <class Cost>
class CostRows;

template <class Scalar>
class CostRows<MatrixView<const Scalar>> {
 public:
  using L = PotentialScalar<Scalar>;
  static constexpr bool is_stored = true, may_forbid = true;
  Index rows, cols;

  template <class Device, class Buffer>
  CostRows(const Device&, MatrixView<const Scalar> cost, Buffer&) : rows(cost.rows), cols(cost.cols), cost_(cost) {}

  [[nodiscard]] ConstArrayMap<L> load(Index i, Index first, Index count, L* scratch) const {
    const ConstArrayMap<Scalar> row(cost_.row(i) + first, count);
    if constexpr (std::is_same_v<Scalar, L>) {
      return row;
    } else {
      ArrayMap<L>(scratch, count) = row.template cast<Accumulator<Scalar>>().template cast<L>();
      return ConstArrayMap<L>(scratch, count);
    }
  }

 private:
  MatrixView<const Scalar> cost_;
};

template <class Scalar, class Metric>
class CostRows<PointCost<Scalar, Metric>> {
 public:
  using L = PotentialScalar<Scalar>;
  static_assert(PointMetric<Metric, L>,
                "a metric is default constructible, copyable (no lambda with captures: write a struct) and callable as "
                "metric(x, y) -> cost with two VectorView<const L>, L = PotentialScalar<Scalar>");
  static constexpr bool is_known =
      std::is_same_v<Metric, SquaredEuclidean> || std::is_same_v<Metric, Euclidean> || std::is_same_v<Metric, Cosine>;
  static constexpr bool is_stored = false, may_forbid = !is_known;
  Index rows, cols;

  template <class Device, class Buffer>
  CostRows(const Device&, const PointCost<Scalar, Metric>& cost, Buffer& buffer)
      : rows(cost.rows), cols(cost.cols), dimension_(cost.x.cols), metric_(cost.metric) {
    x_ = buffer.reserve((rows + cols) * dimension_);
    y_ = x_ + rows * dimension_;
    using Points = Eigen::Map<RowMatrix<L>>;
    Points x(x_, rows, dimension_);
    x = as_eigen(cost.x).template cast<Accumulator<Scalar>>().template cast<L>();
    if constexpr (std::is_same_v<Metric, Cosine>)
      for (Index i = 0; i < rows; ++i) normalize(x.row(i));
    if constexpr (is_known) {
      // A coordinate of all points is what the loops over entries read.
      Points y(y_, dimension_, cols);
      y = as_eigen(cost.y).template cast<Accumulator<Scalar>>().template cast<L>().transpose();
      if constexpr (std::is_same_v<Metric, Cosine>)
        for (Index j = 0; j < cols; ++j) normalize(y.col(j));
    } else {
      Points(y_, cols, dimension_) = as_eigen(cost.y).template cast<Accumulator<Scalar>>().template cast<L>();
    }
  }

  [[nodiscard]] Index dimension() const { return dimension_; }

  [[nodiscard]] ConstArrayMap<L> load(Index i, Index first, Index count, L* scratch) const {
    const L* const x = x_ + i * dimension_;
    if constexpr (is_known) {
      load_known(x, first, count, scratch);
    } else {
      for (Index j = 0; j < count; ++j)
        scratch[j] =
            metric_(VectorView<const L>(x, dimension_), VectorView<const L>(y_ + (first + j) * dimension_, dimension_));
    }
    return ConstArrayMap<L>(scratch, count);
  }

 private:
  template <class Point>
  static void normalize(Point&& point) {
    const L norm = point.stableNorm();
    if (norm > 0) point /= norm;
  }

  // Goes through a few columns at a time, whose sums stay in registers.
  void load_known(const L* x, Index first, Index count, L* out) const {
    constexpr Index run = 64 / sizeof(L) * 4;
    Index j = 0;
    for (; j + run <= count; j += run) load_run<run>(x, first + j, out + j);
    for (; j < count; ++j) load_run<1>(x, first + j, out + j);
  }
  template <Index Run>
  void load_run(const L* x, Index first, L* out) const {
    using Entries = Eigen::Array<L, 1, Run>;
    constexpr bool is_cosine = std::is_same_v<Metric, Cosine>;
    Entries sums = Entries::Constant(is_cosine ? L(1) : L(0));
    for (Index k = 0; k < dimension_; ++k) {
      const Eigen::Map<const Entries> y(y_ + k * cols + first);
      if constexpr (is_cosine)
        sums -= x[k] * y;
      else
        sums += (y - x[k]).square();
    }
    if constexpr (std::is_same_v<Metric, Euclidean>) sums = sums.sqrt();
    Eigen::Map<Entries> entries(out);
    entries = sums;
  }

  Index dimension_;
  Metric metric_;
  L *x_ = nullptr, *y_ = nullptr;  // x: n x d; y: d x m for the metrics known here, else m x d
};

}  // namespace swav::detail
