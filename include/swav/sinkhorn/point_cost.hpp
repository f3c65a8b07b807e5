// Costs between points, computed where they are needed and never stored. In: two sets of points, a metric. Out: a cost
// that Sinkhorn::solve takes in place of a matrix.
#pragma once

#include <cmath>
#include <concepts>
#include <type_traits>
#include <utility>

#include "swav/core/error.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"

namespace swav {

/// A metric is a functor, or a lambda that captures nothing: metric(x, y) -> cost of two points, VectorView<const L> of
/// d coordinates each, with L the type of potentials (double, or the accumulator where that is wider); +inf forbids the
/// pair. It is copied, and called by several threads at once.
/// Gradients with respect to points need add_gradient, too: out_k += weight dc(x, y)/dx_k.
template <class Metric, class L>
concept PointMetric =
    std::semiregular<Metric> && std::is_invocable_r_v<L, const Metric&, VectorView<const L>, VectorView<const L>>;

template <class Metric, class L>
concept DifferentiableMetric = PointMetric<Metric, L> &&
    requires(const Metric& metric, VectorView<const L> point, L weight, L* out) {
  metric.add_gradient(point, point, weight, out);
};

/// sum_k (x_k - y_k)^2
struct SquaredEuclidean {
  template <class L>
  SWAV_HOST_DEVICE L operator()(VectorView<const L> x, VectorView<const L> y) const {
    L sum = 0;
    for (Index k = 0; k < x.size; ++k) sum += (x[k] - y[k]) * (x[k] - y[k]);
    return sum;
  }
  template <class L>
  SWAV_HOST_DEVICE void add_gradient(VectorView<const L> x, VectorView<const L> y, L weight, L* out) const {
    for (Index k = 0; k < x.size; ++k) out[k] += 2 * weight * (x[k] - y[k]);
  }
};

/// The distance itself. Its gradient where x = y, where it has none, is taken to be 0.
struct Euclidean {
  template <class L>
  SWAV_HOST_DEVICE L operator()(VectorView<const L> x, VectorView<const L> y) const {
    return std::sqrt(SquaredEuclidean()(x, y));
  }
  template <class L>
  SWAV_HOST_DEVICE void add_gradient(VectorView<const L> x, VectorView<const L> y, L weight, L* out) const {
    const L distance = (*this)(x, y);
    if (distance > 0)
      for (Index k = 0; k < x.size; ++k) out[k] += weight * (x[k] - y[k]) / distance;
  }
};

/// 1 - x.y/(|x| |y|), and 1 where a point is 0.
struct Cosine {
  template <class L>
  SWAV_HOST_DEVICE L operator()(VectorView<const L> x, VectorView<const L> y) const {
    const L norms = norm(x) * norm(y);
    if (!(norms > 0)) return 1;
    L dot = 0;
    for (Index k = 0; k < x.size; ++k) dot += (x[k] / largest(x)) * (y[k] / largest(y));
    return 1 - dot / norms;
  }
  template <class L>
  SWAV_HOST_DEVICE void add_gradient(VectorView<const L> x, VectorView<const L> y, L weight, L* out) const {
    const L norm_x = norm(x), norm_y = norm(y), cosine = 1 - (*this)(x, y);
    if (!(norm_x * norm_y > 0)) return;
    const L scale_x = largest(x), scale_y = largest(y);
    for (Index k = 0; k < x.size; ++k)
      out[k] -= weight / norm_x * (y[k] / scale_y / norm_y - cosine * (x[k] / scale_x) / norm_x) / scale_x;
  }

 private:
  template <class L>
  SWAV_HOST_DEVICE static L largest(VectorView<const L> x) {
    L largest = 0;
    for (const L value : x) largest = std::abs(value) > largest ? std::abs(value) : largest;
    return largest;
  }
  // Of x over its largest entry, so that no square leaves the range.
  template <class L>
  SWAV_HOST_DEVICE static L norm(VectorView<const L> x) {
    const L scale = largest(x);
    L squares = 0;
    if (scale > 0)
      for (const L value : x) squares += (value / scale) * (value / scale);
    return std::sqrt(squares);
  }
};

/// The n x m cost C_ij = metric(x_i, y_j) of points x (n x d) and y (m x d), which stay in the caller's memory and must
/// live as long as the cost and every result made of it. A solve on it takes O((n + m) d) memory, and on CudaDevice 1.5
/// MiB a multiprocessor at most, and computes n m costs and exponentials an iteration; where n m numbers fit into
/// memory, solving on cost_matrix(cost) is faster.
template <class Scalar, class Metric = SquaredEuclidean>
struct PointCost {
  MatrixView<const Scalar> x, y;
  Metric metric;
  Index rows = 0, cols = 0;  ///< n, m

  PointCost() = default;
  /// Throws InvalidInput where the dimensions differ or are 0.
  PointCost(MatrixView<const Scalar> points_x, MatrixView<const Scalar> points_y, Metric metric_of_points = {})
      : x(points_x), y(points_y), metric(std::move(metric_of_points)), rows(x.rows), cols(y.rows) {
    detail::check_view("PointCost: x", x);
    detail::check_view("PointCost: y", y);
    detail::require(x.cols == y.cols && x.cols > 0, "PointCost: points of ", x.cols, " and ", y.cols,
                    " dimensions found, the same number, 1 or more, wanted");
  }

  [[nodiscard]] Index size() const { return rows * cols; }
};

/// PointCost(x, y, metric) of matrices; not of temporary ones, which would be gone before they are read.
template <class Points, class Other, class Metric = SquaredEuclidean>
requires(std::is_lvalue_reference_v<Points>&& std::is_lvalue_reference_v<Other>&& requires(Points& points) {
  points.data();
}) PointCost(Points&&, Other&&, Metric = {})
->PointCost<std::remove_cvref_t<decltype(*std::declval<Points&>().data())>, Metric>;

}  // namespace swav
