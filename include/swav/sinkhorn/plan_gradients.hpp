// Gradients through a transport's plan, free of any backend. In: a converged TransportResult, dL/dP of some L. Out:
// derivatives of L with respect to costs and masses.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/sinkhorn/gradients.hpp"
#include "swav/sinkhorn/transport_passes.hpp"
#include "swav/sinkhorn/transport_result.hpp"

namespace swav {

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

namespace detail {

/// The linear system (29) of docs/sinkhorn.md, with the plan's products computed where the plan is.
template <class Scalar, class Device, class Cost, class Group>
class PlanSystem {
  using Result = TransportResult<Scalar, Device, Cost, Group>;
  using Passes = GradientPasses<Device>;

 public:
  using L = PotentialScalar<Scalar>;
  using Vector = std::vector<L>;
  using Plan = typename Device::template Matrix<L>;

  explicit PlanSystem(const Result& result)
      : result_(result),
        plan_(
            Passes::template plan<L>(result.device(), result.cost(), result.f.data(), result.g.data(), result.epsilon)),
        row_diagonal_(times(Vector(result.g.size(), L(1)))),
        column_diagonal_(transposed_times(Vector(result.f.size(), L(1)))),
        column_marginal_(column_diagonal_) {
    for (L& value : row_diagonal_) value *= stiffness(result.rho_a);
    for (L& value : column_diagonal_) value *= stiffness(result.rho_b);
  }

  /// k: d log r = k df/epsilon for a row's marginal r.
  [[nodiscard]] L stiffness(double rho) const {
    return std::isinf(rho) ? L(1) : 1 + static_cast<L>(result_.epsilon) / static_cast<L>(rho);
  }
  [[nodiscard]] const Vector& row_diagonal() const { return row_diagonal_; }
  [[nodiscard]] const Vector& column_diagonal() const { return column_diagonal_; }
  [[nodiscard]] Plan take_plan() { return std::move(plan_); }

  /// [W 1; W' 1] with W = P o weights.
  [[nodiscard]] std::pair<Vector, Vector> right_side(MatrixView<const Scalar> weights) const {
    std::pair sums(Vector(result_.f.size()), Vector(result_.g.size()));
    Passes::weighted_sums(result_.device(), plan_, weights, sums.first.data(), sums.second.data());
    result_.group().sum(sums.second.data(), plan_.cols());
    return sums;
  }

  /// alpha, given beta and the upper part of the right side.
  [[nodiscard]] Vector row_solution(const Vector& row_sums, const Vector& beta) const {
    Vector alpha = times(beta);
    for (std::size_t i = 0; i < alpha.size(); ++i) alpha[i] = row_sums[i] - alpha[i];
    return divided(std::move(alpha), row_diagonal_);
  }

  /// beta, by conjugate gradients on the Schur complement of the columns. What comes of it is written to `report`.
  [[nodiscard]] Vector column_solution(const Vector& row_sums, Vector rest, const PlanGradientOptions& options,
                                       PlanGradients<Scalar, Device>& report) const {
    const std::size_t cols = rest.size();
    const Vector carried = transposed_times(divided(row_sums, row_diagonal_));
    for (std::size_t j = 0; j < cols; ++j) rest[j] -= carried[j];
    Vector beta(cols, L(0)), preconditioned = projected(divided(rest, column_diagonal_));
    Vector direction = preconditioned;
    L energy = dot(rest, preconditioned);
    const L wanted = energy * static_cast<L>(options.tolerance * options.tolerance), first = energy;
    while (energy > wanted && report.iterations < options.max_iterations) {
      const Vector image = schur_times(direction);
      const L step = energy / dot(direction, image);
      if (!(step > 0 && std::isfinite(step))) break;
      for (std::size_t j = 0; j < cols; ++j) {
        beta[j] += step * direction[j];
        rest[j] -= step * image[j];
      }
      preconditioned = projected(divided(rest, column_diagonal_));
      const L before = energy;
      energy = dot(rest, preconditioned);
      for (std::size_t j = 0; j < cols; ++j) direction[j] = preconditioned[j] + energy / before * direction[j];
      ++report.iterations;
    }
    report.converged = energy <= wanted;
    report.residual = first > 0 ? std::sqrt(static_cast<double>(std::max(energy, L(0)) / first)) : 0.0;
    return beta;
  }

 private:
  [[nodiscard]] Vector times(const Vector& v) const {
    Vector out(result_.f.size());
    Passes::multiply(result_.device(), plan_, v.data(), out.data());
    return out;
  }
  [[nodiscard]] Vector transposed_times(const Vector& v) const {
    Vector out(result_.g.size());
    Passes::multiply_transposed(result_.device(), plan_, v.data(), out.data());
    result_.group().sum(out.data(), plan_.cols());
    return out;
  }
  [[nodiscard]] Vector schur_times(const Vector& direction) const {
    Vector image = transposed_times(divided(times(direction), row_diagonal_));
    for (std::size_t j = 0; j < image.size(); ++j) image[j] = column_diagonal_[j] * direction[j] - image[j];
    return image;
  }

  static L dot(const Vector& x, const Vector& y) {
    L sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
    return sum;
  }
  static Vector divided(Vector x, const Vector& by) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = by[i] > 0 ? x[i] / by[i] : L(0);
    return x;
  }
  // A balanced system is singular: a constant may be added to beta and taken from alpha.
  [[nodiscard]] Vector projected(Vector x) const {
    if (!std::isinf(result_.rho_a) || !std::isinf(result_.rho_b)) return x;
    L mean = 0, mass = 0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      mean += column_marginal_[j] * x[j];
      mass += column_marginal_[j];
    }
    if (mass > 0)
      for (L& value : x) value -= mean / mass;
    return x;
  }

  const Result& result_;
  Plan plan_;
  Vector row_diagonal_, column_diagonal_, column_marginal_;
};

}  // namespace detail

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
  using System = detail::PlanSystem<Scalar, Device, Cost, Group>;
  using L = typename System::L;
  using Vector = typename System::Vector;
  const Index n = result.cost().rows, m = result.cost().cols;
  detail::require(grad_plan.rows == n && grad_plan.cols == m, "plan_gradients: grad_plan of shape ", grad_plan.rows,
                  " x ", grad_plan.cols, " found, ", n, " x ", m, " wanted");
  detail::require(options.tolerance > 0, "PlanGradientOptions.tolerance: ", options.tolerance,
                  " found, a value > 0 wanted");
  detail::require(options.max_iterations >= 0, "PlanGradientOptions.max_iterations: ", options.max_iterations,
                  " found, 0 or more wanted");
  result.check_potentials();
  System system(result);
  auto [row_sums, column_sums] = system.right_side(grad_plan);

  // Scaled by the largest entry, so that no square leaves the range.
  L scale = 0;
  for (const Vector* sums : {&row_sums, &column_sums})
    for (const L value : *sums)
      scale = std::max(scale, std::isfinite(value) ? std::abs(value) : std::numeric_limits<L>::infinity());
  result.group().maximum(&scale, 1);
  detail::require(std::isfinite(scale),
                  "plan_gradients: grad_plan with a NaN or infinite entry found, finite ones wanted");
  if (!(scale > 0)) scale = 1;
  for (Vector* sums : {&row_sums, &column_sums})
    for (L& value : *sums) value /= scale;

  PlanGradients<Scalar, Device> gradients;
  gradients.b = system.column_solution(row_sums, std::move(column_sums), options, gradients);
  gradients.a = system.row_solution(row_sums, gradients.b);
  for (Vector* values : {&gradients.a, &gradients.b})
    for (L& value : *values) value *= scale;
  auto plan = system.take_plan();
  GradientPasses<Device>::plan_gradient(result.device(), grad_plan, gradients.a.data(), gradients.b.data(),
                                        static_cast<L>(result.epsilon), plan);
  gradients.cost = TransportPasses<Device>::template converted<Scalar>(result.device(), std::move(plan));

  // dL/da_i = alpha_i d(r_i)/d(a_i) of the marginal r: r_i = a_i exp(-f~_i/rho_a) where a is not held exactly.
  const auto finish = [&](Vector& gradient, const Vector& diagonal, double rho, const auto& soft_minima) {
    for (std::size_t i = 0; i < gradient.size(); ++i)
      if (!(diagonal[i] > 0)) gradient[i] = 0;
    if (std::isinf(rho)) return;
    const Vector minima = soft_minima();
    const L stiffness = system.stiffness(rho);
    for (std::size_t i = 0; i < gradient.size(); ++i)
      if (gradient[i] != 0) gradient[i] *= stiffness * std::exp(-minima[i] / stiffness / static_cast<L>(rho));
  };
  finish(gradients.a, system.row_diagonal(), result.rho_a, [&] { return detail::row_soft_minima(result); });
  finish(gradients.b, system.column_diagonal(), result.rho_b, [&] { return detail::column_soft_minima(result); });
  return gradients;
}

}  // namespace swav
