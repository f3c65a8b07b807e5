// What Sinkhorn::solve returns. In: potentials, a cost in the caller's memory. Out: the plan, or its products.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "swav/comm/communicator.hpp"
#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/point_cost.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav {
namespace detail {
template <class Scalar, class Device, class Cost, class Group>
class TransportSolver;
}  // namespace detail
template <StorageScalar Scalar, class Device, Communicator Group>
class Sinkhorn;

enum class TransportStatus {
  converged,        ///< the marginal error is at most the tolerance
  max_iterations,   ///< it is not, after as many iterations as allowed
  infeasible,       ///< no plan has these marginals: forbidden pairs leave a mass nowhere to go
  numerical_error,  ///< the factors or the exponents left the range or the precision of the chosen domain
  stopped           ///< the progress callback returned false
};

/// A transport between n rows and m columns: P_ij = exp((f_i + g_j - C_ij)/epsilon), without a factor a_i b_j, as in
/// POT (log u = f/epsilon) and OTT. f_i is -inf where row i has no mass, g_j likewise. In units of the cost; a constant
/// added to f and taken from g changes nothing. `Cost` is a MatrixView<const Scalar> or a PointCost.
///
/// In a group of processes n rows, f and what is made of them are those of this process; numbers and what has m entries
/// are of all, and making the latter (apply and marginal with axis 0) is collective.
template <class Scalar, class Device = EigenDevice, class Cost = MatrixView<const Scalar>,
          Communicator Group = SelfCommunicator>
class TransportResult {
  using Passes = TransportPasses<Device>;

 public:
  using Potential = PotentialScalar<Scalar>;
  using Matrix = typename Device::template Matrix<Scalar>;

  std::vector<Potential> f, g;
  TransportStatus status = TransportStatus::max_iterations;
  bool converged = false;
  int iterations = 0;
  /// (|P 1 - a|_1 + |P' 1 - b|_1) / sum a of the plan that f and g describe. Unbalanced: by how much, so measured, one
  /// more update would change the marginals.
  double marginal_error = 0;
  std::vector<double> errors;  ///< the same after each checked iteration
  double epsilon = 0;
  double mass = 0;            ///< sum P
  double transport_cost = 0;  ///< sum P C
  /// sum P C + epsilon KL(P | a b'), KL(P | Q) = sum P log(P/Q) - P + Q; unbalanced: + rho_a KL(P 1 | a) + rho_b
  /// KL(P' 1 | b). (The other convention, sum P C - epsilon H(P), is transport_cost - epsilon * (entropy + mass).)
  double regularized_cost = 0;
  /// The dual's value at f, g; at most the least regularized_cost, and equal to it at the optimum.
  double dual_cost = 0;
  /// dual_cost - epsilon sum a sum b, which is small where totals are large and dual_cost has no digits left for it.
  double dual_sides = 0;
  double entropy = 0;               ///< -sum P log P
  double total_a = 0, total_b = 0;  ///< sums of the masses that were given, b's scaled to a's in a balanced problem
  double rho_a = 0, rho_b = 0;      ///< the options' own
  Stabilization domain = Stabilization::scaling;  ///< where the last iteration was computed: scaling or log

  /// What this is a transport of, and where it is computed.
  [[nodiscard]] const Cost& cost() const { return cost_; }
  [[nodiscard]] const Device& device() const { return device_; }
  [[nodiscard]] const Group& group() const { return group_; }

  /// Throws InvalidInput where f or g are not as long as the cost has rows or columns: after the result has been moved
  /// from. So does all that is made of them.
  void check_potentials() const {
    detail::require(static_cast<Index>(f.size()) == cost_.rows && static_cast<Index>(g.size()) == cost_.cols,
                    "TransportResult: ", f.size(), " and ", g.size(), " potentials found, ", cost_.rows, " and ",
                    cost_.cols, " wanted (has the result been moved from?)");
  }

  /// P (n x m): one exponential an entry.
  [[nodiscard]] Matrix plan() const {
    Matrix result(cost_.rows, cost_.cols);
    plan_into(result);
    return result;
  }
  void plan_into(MatrixView<Scalar> out) const {
    check_potentials();
    detail::require(out.rows == cost_.rows && out.cols == cost_.cols, "TransportResult::plan_into: out of shape ",
                    out.rows, " x ", out.cols, " found, ", cost_.rows, " x ", cost_.cols, " wanted");
    Passes::plan(device_, cost_, f.data(), g.data(), epsilon, out);
  }

  /// axis 1: P x with x of m rows, n x d; axis 0: P' x with x of n rows, m x d. The plan is made a row at a time and
  /// not kept. `x` must not overlap the result.
  [[nodiscard]] Matrix apply(MatrixView<const Scalar> x, int axis = 1) const {
    check_axis(axis);
    check_potentials();
    const Index wanted = axis == 1 ? cost_.cols : cost_.rows;
    detail::require(x.rows == wanted, "TransportResult::apply: x of ", x.rows, " rows found, ", wanted, " wanted");
    typename Device::template Matrix<Potential> result(axis == 1 ? cost_.rows : cost_.cols, x.cols);
    Passes::apply(device_, cost_, f.data(), g.data(), epsilon, x, axis == 0, MatrixView<Potential>(result));
    if (axis == 0) group_.sum(result.data(), result.size());
    return Passes::template converted<Scalar>(device_, std::move(result));
  }

  /// Of points: where the transport takes any points z (k x d), those that it was made of or others: k x d rows
  /// sum_j y_j softmax_j((g_j - c(z, y_j))/epsilon), the entropic map (Pooladian and Niles-Weed 2021). At z = x_i it is
  /// (P y)_i/(P 1)_i. k m costs and exponentials, O((k + m) d) memory. Throws InvalidInput where a z has no finite
  /// cost.
  [[nodiscard]] Matrix map(MatrixView<const Scalar> z) const requires requires(const Cost& points) { points.metric; }
  {
    check_potentials();
    const Cost from_z(z, cost_.y, cost_.metric);
    typename Device::template Matrix<Potential> result(z.rows, z.cols);
    const Index stranded = Passes::map(device_, from_z, g.data(), epsilon, MatrixView<Potential>(result));
    detail::require(stranded < 0, "TransportResult::map: row ", stranded,
                    " of z found without a finite cost to any point with mass, one wanted");
    return Passes::template converted<Scalar>(device_, std::move(result));
  }

  /// The sums of P along an axis, without the plan: axis 1 the n row sums, axis 0 the m column sums.
  [[nodiscard]] std::vector<Potential> marginal(int axis) const {
    check_axis(axis);
    check_potentials();
    std::vector<Potential> sums(static_cast<std::size_t>(axis == 1 ? cost_.rows : cost_.cols));
    Passes::marginal(device_, cost_, f.data(), g.data(), epsilon, axis == 0, sums.data());
    if (axis == 0) group_.sum(sums.data(), cost_.cols);
    return sums;
  }

 private:
  template <class, class, class, class>
  friend class detail::TransportSolver;
  template <StorageScalar, class, Communicator>
  friend class Sinkhorn;

  static void check_axis(int axis) {
    detail::require(axis == 0 || axis == 1, "TransportResult: axis ", axis, " found, 0 or 1 wanted");
  }

  Cost cost_;
  std::shared_ptr<const Matrix> owned_;  // the cost's memory, where it was a temporary
  Device device_;
  Group group_;
};

}  // namespace swav
