// The Sinkhorn divergence of two clouds of points, free of any backend. In: points, masses, options. Out: its value,
// and the three transports that it is made of.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "swav/core/device.hpp"
#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/sinkhorn/gradients.hpp"
#include "swav/sinkhorn/options.hpp"
#include "swav/sinkhorn/point_cost.hpp"
#include "swav/sinkhorn/solver.hpp"
#include "swav/sinkhorn/transport_result.hpp"

namespace swav {

template <class Scalar, class Metric = SquaredEuclidean, class Device = EigenDevice>
struct SinkhornDivergence {
  using Transport = TransportResult<Scalar, Device, PointCost<Scalar, Metric>>;

  double value = 0;        ///< +inf where a transport is infeasible or the values are out of range
  bool converged = false;  ///< all three transports have
  Transport xy, xx, yy;
};

/// OT(x, y) - OT(x, x)/2 - OT(y, y)/2 + epsilon/2 (sum a - sum b)^2, with OT the optimum of
/// TransportResult::regularized_cost, taken from the dual, whose error is of second order (Genevay, Peyre, Cuturi 2018;
/// Feydy et al. 2019; unbalanced: Sejourne et al. 2019). It is 0 where both clouds are equal, symmetric, and, of the
/// metrics known here, 0 or more up to the tolerance.
///
/// cost: the points x (n x d), y (m x d), which must live as long as the result, and their metric. Masses a (n) and b
/// (m): empty means 1/n, 1/m each. Three solves in O((n + m) d) memory; throws as Sinkhorn::solve does, and where
/// rho_a and rho_b differ.
template <class Scalar, class Metric, class Device = EigenDevice>
[[nodiscard]] SinkhornDivergence<Scalar, Metric, Device> sinkhorn_divergence(
    const PointCost<Scalar, Metric>& cost, std::type_identity_t<VectorView<const Scalar>> a = {},
    std::type_identity_t<VectorView<const Scalar>> b = {}, const SinkhornOptions& options = {}, Device device = {}) {
  detail::require(options.rho_a == options.rho_b, "sinkhorn_divergence: rho_a ", options.rho_a, " and rho_b ",
                  options.rho_b, " found, the same wanted");
  using Cost = PointCost<Scalar, Metric>;
  Sinkhorn<Scalar, Device> sinkhorn(options, device);
  SinkhornDivergence<Scalar, Metric, Device> result;
  result.xy = sinkhorn.solve(cost, a, b);
  result.xx = sinkhorn.solve(Cost(cost.x, cost.x, cost.metric), a, a);
  result.yy = sinkhorn.solve(Cost(cost.y, cost.y, cost.metric), b, b);
  // epsilon times the products of totals, and (sum a - sum b)^2, cancel.
  result.value = result.xy.dual_sides - (result.xx.dual_sides + result.yy.dual_sides) / 2;
  result.converged = true;
  for (const auto* transport : {&result.xy, &result.xx, &result.yy}) {
    result.converged = result.converged && transport->converged;
    if (transport->status == TransportStatus::infeasible) result.value = std::numeric_limits<double>::infinity();
  }
  if (std::isnan(result.value)) result.value = std::numeric_limits<double>::infinity();  // out of range
  return result;
}

namespace detail {

/// Of -OT(z, z)/2 with respect to the points z, which are on both sides.
template <class Transport, class Matrix>
void subtract_half_of_own(const Transport& own, Matrix& gradient) {
  const Matrix by_first = gradient_x(own), by_second = gradient_y(own);
  GradientPasses<std::remove_cvref_t<decltype(own.device())>>::subtract_mean(own.device(), by_first, by_second,
                                                                             gradient);
}

}  // namespace detail

/// The derivative of a divergence with respect to the points x (n x d), by the envelope theorem; of a symmetric metric.
template <class Scalar, DifferentiableMetric<PotentialScalar<Scalar>> Metric, class Device>
[[nodiscard]] typename Device::template Matrix<Scalar> gradient_x(
    const SinkhornDivergence<Scalar, Metric, Device>& divergence) {
  typename Device::template Matrix<Scalar> gradient = gradient_x(divergence.xy);
  detail::subtract_half_of_own(divergence.xx, gradient);
  return gradient;
}

/// The same with respect to the points y (m x d).
template <class Scalar, DifferentiableMetric<PotentialScalar<Scalar>> Metric, class Device>
[[nodiscard]] typename Device::template Matrix<Scalar> gradient_y(
    const SinkhornDivergence<Scalar, Metric, Device>& divergence) {
  typename Device::template Matrix<Scalar> gradient = gradient_y(divergence.xy);
  detail::subtract_half_of_own(divergence.yy, gradient);
  return gradient;
}

}  // namespace swav
