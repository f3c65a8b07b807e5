// Gradients of a transport's value, free of any backend. In: a converged TransportResult. Out: derivatives with respect
// to masses and points.
#pragma once

#include <cmath>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/sinkhorn/point_cost.hpp"
#include "swav/sinkhorn/transport_passes.hpp"
#include "swav/sinkhorn/transport_result.hpp"

namespace swav {

/// The passes of this file and of plan_gradients.hpp that a backend gives, over the n rows of this process and all m
/// columns. Specialised once a backend, as `GradientPasses<Device>`; L is the type of potentials, cost a MatrixView or
/// PointCost.
///
///   row_soft_minima(device, cost, g, epsilon, L* out): out_i = -epsilon log sum_j exp((g_j - C_ij)/epsilon)
///   column_minima(device, cost, f, L* out): out_j = min_i (C_ij - f_i)
///   column_sums(device, cost, f, const L* minima, epsilon, L* out):
///     out_j = sum_i exp((f_i - C_ij + minima_j)/epsilon)
///   through_points(device, point cost, f, g, epsilon, out n x d): out_i = sum_j P_ij dc(x_i, y_j)/dx_i
///   through_points(device, point cost, weights n x m, out n x d): the same with weights in place of P
///   plan(device, cost, f, g, epsilon) -> Matrix<L>
///   weighted_sums(device, plan, weights n x m, L* rows, L* columns): sums of plan * weights along its rows and columns
///   multiply(device, plan, const L* v, L* out), multiply_transposed: plan v, plan' v
///   plan_gradient(device, weights, const L* alpha, const L* beta, epsilon, plan):
///     plan_ij becomes plan_ij (alpha_i + beta_j - weights_ij)/epsilon
///   subtract_mean(device, x, y, from): from_ij becomes from_ij - (x_ij + y_ij)/2, all Matrix<Scalar>
///
/// Costs, matrices and weights are in the device's memory, vectors in the host's.
template <class Device>
struct GradientPasses;

namespace detail {

/// The derivative of the value by a mass, from the soft minimum of its row or column: the dual's, with the potential
/// that is best for it.
template <class L>
[[nodiscard]] L mass_gradient(L soft_minimum, L epsilon, double rho, double other_mass) {
  const L constant = epsilon * static_cast<L>(other_mass);
  if (std::isinf(rho)) return soft_minimum - epsilon + constant;
  const L r = static_cast<L>(rho), potential = soft_minimum * (r / (r + epsilon));
  return -r * std::expm1(-potential / r) - epsilon * std::exp(-potential / r) + constant;
}

template <class Scalar, class Device, class Cost, class Group>
[[nodiscard]] auto row_soft_minima(const TransportResult<Scalar, Device, Cost, Group>& result) {
  result.check_potentials();
  std::vector<PotentialScalar<Scalar>> minima(result.f.size());
  GradientPasses<Device>::row_soft_minima(result.device(), result.cost(), result.g.data(), result.epsilon,
                                          minima.data());
  return minima;
}
template <class Scalar, class Device, class Cost, class Group>
[[nodiscard]] auto column_soft_minima(const TransportResult<Scalar, Device, Cost, Group>& result) {
  using L = PotentialScalar<Scalar>;
  using Passes = GradientPasses<Device>;
  result.check_potentials();
  std::vector<L> minima(result.g.size()), sums(result.g.size());
  const auto cols = static_cast<Index>(minima.size());
  Passes::column_minima(result.device(), result.cost(), result.f.data(), minima.data());
  for (L& minimum : minima) minimum = -minimum;
  result.group().maximum(minima.data(), cols);
  for (L& minimum : minima) minimum = -minimum;
  Passes::column_sums(result.device(), result.cost(), result.f.data(), minima.data(), result.epsilon, sums.data());
  result.group().sum(sums.data(), cols);
  for (std::size_t j = 0; j < sums.size(); ++j)
    if (std::isfinite(minima[j])) minima[j] -= static_cast<L>(result.epsilon) * std::log(sums[j]);
  return minima;
}

}  // namespace detail

/// The derivative of `regularized_cost` with respect to the masses a (n), by the envelope theorem; one read of the
/// cost. In a balanced problem masses change together: what counts is the sum of both gradients times changes that
/// leave the totals equal. Right for masses 0, too. (The gradient with respect to the cost is the plan itself.)
template <class Scalar, class Device, class Cost, class Group>
[[nodiscard]] std::vector<PotentialScalar<Scalar>> gradient_a(
    const TransportResult<Scalar, Device, Cost, Group>& result) {
  using L = PotentialScalar<Scalar>;
  std::vector<L> gradient = detail::row_soft_minima(result);
  for (L& value : gradient)
    value = detail::mass_gradient(value, static_cast<L>(result.epsilon), result.rho_a, result.total_b);
  return gradient;
}

/// The same with respect to the masses b (m); two reads of the cost. Collective in a group of processes.
template <class Scalar, class Device, class Cost, class Group>
[[nodiscard]] std::vector<PotentialScalar<Scalar>> gradient_b(
    const TransportResult<Scalar, Device, Cost, Group>& result) {
  using L = PotentialScalar<Scalar>;
  std::vector<L> gradient = detail::column_soft_minima(result);
  for (L& value : gradient)
    value = detail::mass_gradient(value, static_cast<L>(result.epsilon), result.rho_b, result.total_a);
  return gradient;
}

/// The derivative of `regularized_cost` with respect to the points x (n x d), by the envelope theorem:
/// sum_j P_ij dc(x_i, y_j)/dx_i. The plan is made a row at a time.
template <class Scalar, class Device, DifferentiableMetric<PotentialScalar<Scalar>> Metric, class Group>
[[nodiscard]] auto gradient_x(const TransportResult<Scalar, Device, PointCost<Scalar, Metric>, Group>& result) {
  using L = PotentialScalar<Scalar>;
  result.check_potentials();
  typename Device::template Matrix<L> gradient(result.cost().rows, result.cost().x.cols);
  GradientPasses<Device>::through_points(result.device(), result.cost(), result.f.data(), result.g.data(),
                                         result.epsilon, MatrixView<L>(gradient));
  return TransportPasses<Device>::template converted<Scalar>(result.device(), std::move(gradient));
}

/// The same with respect to the points y (m x d), of a symmetric metric. Collective in a group of processes.
template <class Scalar, class Device, DifferentiableMetric<PotentialScalar<Scalar>> Metric, class Group>
[[nodiscard]] auto gradient_y(const TransportResult<Scalar, Device, PointCost<Scalar, Metric>, Group>& result) {
  using L = PotentialScalar<Scalar>;
  result.check_potentials();
  const PointCost<Scalar, Metric> turned(result.cost().y, result.cost().x, result.cost().metric);
  typename Device::template Matrix<L> gradient(turned.rows, turned.x.cols);
  GradientPasses<Device>::through_points(result.device(), turned, result.g.data(), result.f.data(), result.epsilon,
                                         MatrixView<L>(gradient));
  result.group().sum(gradient.data(), gradient.size());
  return TransportPasses<Device>::template converted<Scalar>(result.device(), std::move(gradient));
}

/// Through cost_matrix(cost): from dL/dC (n x m) to dL/dx (n x d). For dL/dy give the cost with x and y exchanged and
/// the transpose of dL/dC.
template <class Scalar, DifferentiableMetric<PotentialScalar<Scalar>> Metric, class Device = EigenDevice>
[[nodiscard]] typename Device::template Matrix<Scalar> points_gradient(
    const PointCost<Scalar, Metric>& cost, std::type_identity_t<MatrixView<const Scalar>> grad_cost,
    const Device& device = {}) {
  using L = PotentialScalar<Scalar>;
  detail::require(grad_cost.rows == cost.rows && grad_cost.cols == cost.cols, "points_gradient: grad_cost of shape ",
                  grad_cost.rows, " x ", grad_cost.cols, " found, ", cost.rows, " x ", cost.cols, " wanted");
  typename Device::template Matrix<L> gradient(cost.rows, cost.x.cols);
  GradientPasses<Device>::through_points(device, cost, grad_cost, MatrixView<L>(gradient));
  return TransportPasses<Device>::template converted<Scalar>(device, std::move(gradient));
}

}  // namespace swav
