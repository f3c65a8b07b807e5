// Gradients of a transport's value, and through its plan, free of any backend. In: a converged TransportResult. Out:
// derivatives with respect to costs, masses and points.
#pragma once

#include <cmath>
#include <concepts>
#include <limits>
#include <utility>
#include <vector>

#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/sinkhorn/point_cost.hpp"
#include "swav/sinkhorn/transport_passes.hpp"
#include "swav/sinkhorn/transport_result.hpp"

namespace swav {

/// The passes of this file that a backend gives, over the n rows of this process and all m columns. Specialised once a
/// backend, as `GradientPasses<Device>`; L is the type of potentials, cost a MatrixView or PointCost.
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

template <class Passes, class Result>
[[nodiscard]] auto column_soft_minima(const Result& result) {
  using L = typename Result::Potential;
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
  std::vector<L> gradient(result.f.size());
  GradientPasses<Device>::row_soft_minima(result.device(), result.cost(), result.g.data(), result.epsilon,
                                          gradient.data());
  for (L& value : gradient)
    value = detail::mass_gradient(value, static_cast<L>(result.epsilon), result.rho_a, result.total_b);
  return gradient;
}

/// The same with respect to the masses b (m); two reads of the cost. Collective in a group of processes.
template <class Scalar, class Device, class Cost, class Group>
[[nodiscard]] std::vector<PotentialScalar<Scalar>> gradient_b(
    const TransportResult<Scalar, Device, Cost, Group>& result) {
  using L = PotentialScalar<Scalar>;
  std::vector<L> gradient = detail::column_soft_minima<GradientPasses<Device>>(result);
  for (L& value : gradient)
    value = detail::mass_gradient(value, static_cast<L>(result.epsilon), result.rho_b, result.total_a);
  return gradient;
}

/// The derivative of `regularized_cost` with respect to the points x (n x d), by the envelope theorem:
/// sum_j P_ij dc(x_i, y_j)/dx_i. The plan is made a row at a time.
template <class Scalar, class Device, DifferentiableMetric<PotentialScalar<Scalar>> Metric, class Group>
[[nodiscard]] auto gradient_x(const TransportResult<Scalar, Device, PointCost<Scalar, Metric>, Group>& result) {
  using L = PotentialScalar<Scalar>;
  typename Device::template Matrix<L> gradient(result.cost().rows, result.cost().x.cols);
  GradientPasses<Device>::through_points(result.device(), result.cost(), result.f.data(), result.g.data(),
                                         result.epsilon, MatrixView<L>(gradient));
  return TransportPasses<Device>::template converted<Scalar>(std::move(gradient));
}

/// The same with respect to the points y (m x d), of a symmetric metric. Collective in a group of processes.
template <class Scalar, class Device, DifferentiableMetric<PotentialScalar<Scalar>> Metric, class Group>
[[nodiscard]] auto gradient_y(const TransportResult<Scalar, Device, PointCost<Scalar, Metric>, Group>& result) {
  using L = PotentialScalar<Scalar>;
  const PointCost<Scalar, Metric> turned(result.cost().y, result.cost().x, result.cost().metric);
  typename Device::template Matrix<L> gradient(turned.rows, turned.x.cols);
  GradientPasses<Device>::through_points(result.device(), turned, result.g.data(), result.f.data(), result.epsilon,
                                         MatrixView<L>(gradient));
  result.group().sum(gradient.data(), gradient.size());
  return TransportPasses<Device>::template converted<Scalar>(std::move(gradient));
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
  return TransportPasses<Device>::template converted<Scalar>(std::move(gradient));
}

/// Of some L of the plan, with respect to what the plan was made from.
template <class Scalar, class Device>
struct PlanGradients {
  typename Device::template Matrix<Scalar> cost;  ///< dL/dC, n x m
  std::vector<PotentialScalar<Scalar>> a, b;      ///< dL/da (n), dL/db (m); 0 where the mass is 0
  bool converged = false;                         ///< the linear system is solved to the tolerance
  int iterations = 0;
  double residual = 0;  ///< of the linear system, relative to its right side
};

struct PlanGradientOptions {
  double tolerance = 1e-10;   ///< of the linear system's residual, relative to its right side; > 0
  int max_iterations = 1000;  ///< of conjugate gradients, each two reads of the plan
};

/// Differentiates through the plan: from dL/dP (n x m) at the plan of `result` to dL/dC, dL/da, dL/db, by implicit
/// differentiation of the optimality conditions (Luise et al. 2018; Cuturi et al. 2022), whose linear system's Schur
/// complement on the columns is solved by conjugate gradients, preconditioned by the marginal. Its null space in a
/// balanced problem, a constant added to one potential and taken from the other, is projected out. The result must have
/// converged well: the plan is taken for an optimum. O(n m) memory. Of a balanced problem the gradients of masses are
/// those of changes that leave the totals equal. Collective in a group of processes, where grad_plan has the rows here.
template <class Scalar, class Device, class Cost, class Group>
[[nodiscard]] PlanGradients<Scalar, Device> plan_gradients(const TransportResult<Scalar, Device, Cost, Group>& result,
                                                           std::type_identity_t<MatrixView<const Scalar>> grad_plan,
                                                           const PlanGradientOptions& options = {}) {
  using L = PotentialScalar<Scalar>;
  using Passes = GradientPasses<Device>;
  using Vector = std::vector<L>;
  constexpr L infinity = std::numeric_limits<L>::infinity();
  const Index n = result.cost().rows, m = result.cost().cols;
  detail::require(grad_plan.rows == n && grad_plan.cols == m, "plan_gradients: grad_plan of shape ", grad_plan.rows,
                  " x ", grad_plan.cols, " found, ", n, " x ", m, " wanted");
  detail::require(options.tolerance > 0, "PlanGradientOptions.tolerance: ", options.tolerance,
                  " found, a value > 0 wanted");
  detail::require(options.max_iterations >= 0, "PlanGradientOptions.max_iterations: ", options.max_iterations,
                  " found, 0 or more wanted");
  const auto& device = result.device();
  const auto epsilon = static_cast<L>(result.epsilon);
  auto plan = Passes::template plan<L>(device, result.cost(), result.f.data(), result.g.data(), result.epsilon);
  const auto rows = static_cast<std::size_t>(n), cols = static_cast<std::size_t>(m);
  const auto times = [&](const Vector& v) {
    Vector out(rows);
    Passes::multiply(device, plan, v.data(), out.data());
    return out;
  };
  const auto transposed_times = [&](const Vector& v) {
    Vector out(cols);
    Passes::multiply_transposed(device, plan, v.data(), out.data());
    result.group().sum(out.data(), m);
    return out;
  };
  const auto dot = [](const Vector& x, const Vector& y) {
    L sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
    return sum;
  };
  // A row's part of the system's diagonal over its marginal: d log r = (1 + epsilon/rho) df/epsilon there.
  const auto stiffness = [&](double rho) { return std::isinf(rho) ? L(1) : 1 + epsilon / static_cast<L>(rho); };
  const auto divided = [](Vector x, const Vector& by) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = by[i] > 0 ? x[i] / by[i] : L(0);
    return x;
  };

  // [diag(row_diagonal) P; P' diag(column_diagonal)] [alpha; beta] = [sums of P * grad_plan along rows; columns].
  Vector row_diagonal = times(Vector(cols, L(1))), column_diagonal = transposed_times(Vector(rows, L(1)));
  const Vector column_marginal = column_diagonal;
  for (L& value : row_diagonal) value *= stiffness(result.rho_a);
  for (L& value : column_diagonal) value *= stiffness(result.rho_b);
  Vector row_sums(rows), rest(cols);
  Passes::weighted_sums(device, plan, grad_plan, row_sums.data(), rest.data());
  result.group().sum(rest.data(), m);
  const auto project = [&, balanced = std::isinf(result.rho_a) && std::isinf(result.rho_b)](Vector& x) {
    if (!balanced) return;
    L mean = 0, mass = 0;
    for (std::size_t j = 0; j < cols; ++j) {
      mean += column_marginal[j] * x[j];
      mass += column_marginal[j];
    }
    if (mass > 0)
      for (L& value : x) value -= mean / mass;
  };

  // Scaled by the largest entry, so that no square leaves the range.
  L scale = 0;
  for (const Vector* sums : {&row_sums, &rest})
    for (const L value : *sums) scale = std::max(scale, std::isfinite(value) ? std::abs(value) : infinity);
  result.group().maximum(&scale, 1);
  detail::require(std::isfinite(scale),
                  "plan_gradients: grad_plan with a NaN or infinite entry found, finite ones wanted");
  if (!(scale > 0)) scale = 1;
  for (Vector* sums : {&row_sums, &rest})
    for (L& value : *sums) value /= scale;

  PlanGradients<Scalar, Device> gradients;
  const Vector carried = transposed_times(divided(row_sums, row_diagonal));
  for (std::size_t j = 0; j < cols; ++j) rest[j] -= carried[j];
  Vector beta(cols, L(0)), preconditioned = divided(rest, column_diagonal);
  project(preconditioned);
  Vector direction = preconditioned;
  L energy = dot(rest, preconditioned);
  const L wanted = energy * static_cast<L>(options.tolerance * options.tolerance), first = energy;
  while (energy > wanted && gradients.iterations < options.max_iterations) {
    const Vector back = transposed_times(divided(times(direction), row_diagonal));
    Vector image(cols);
    for (std::size_t j = 0; j < cols; ++j) image[j] = column_diagonal[j] * direction[j] - back[j];
    const L step = energy / dot(direction, image);
    if (!(step > 0 && std::isfinite(step))) break;
    for (std::size_t j = 0; j < cols; ++j) {
      beta[j] += step * direction[j];
      rest[j] -= step * image[j];
    }
    preconditioned = divided(rest, column_diagonal);
    project(preconditioned);
    const L before = energy;
    energy = dot(rest, preconditioned);
    for (std::size_t j = 0; j < cols; ++j) direction[j] = preconditioned[j] + energy / before * direction[j];
    ++gradients.iterations;
  }
  gradients.converged = energy <= wanted;
  gradients.residual = first > 0 ? std::sqrt(static_cast<double>(std::max(energy, L(0)) / first)) : 0.0;

  Vector alpha = times(beta);
  for (std::size_t i = 0; i < rows; ++i) alpha[i] = row_sums[i] - alpha[i];
  alpha = divided(std::move(alpha), row_diagonal);
  for (Vector* values : {&alpha, &beta})
    for (L& value : *values) value *= scale;
  Passes::plan_gradient(device, grad_plan, alpha.data(), beta.data(), epsilon, plan);
  gradients.cost = TransportPasses<Device>::template converted<Scalar>(std::move(plan));
  // dL/da_i = alpha_i d(r_i)/d(a_i) of the marginal r: r_i = a_i exp(-f~_i/rho_a) where a is not held exactly.
  gradients.a = std::move(alpha);
  gradients.b = std::move(beta);
  for (std::size_t i = 0; i < rows; ++i)
    if (!(row_diagonal[i] > 0)) gradients.a[i] = 0;
  for (std::size_t j = 0; j < cols; ++j)
    if (!(column_diagonal[j] > 0)) gradients.b[j] = 0;
  const auto scale_by_marginal = [&](Vector& gradient, const Vector& soft_minima, double rho) {
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      const L potential = soft_minima[i] / stiffness(rho);
      if (gradient[i] != 0) gradient[i] *= stiffness(rho) * std::exp(-potential / static_cast<L>(rho));
    }
  };
  if (!std::isinf(result.rho_a)) {
    Vector soft_minima(rows);
    Passes::row_soft_minima(device, result.cost(), result.g.data(), result.epsilon, soft_minima.data());
    scale_by_marginal(gradients.a, soft_minima, result.rho_a);
  }
  if (!std::isinf(result.rho_b))
    scale_by_marginal(gradients.b, detail::column_soft_minima<Passes>(result), result.rho_b);
  return gradients;
}

}  // namespace swav
