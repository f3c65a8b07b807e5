// The Sinkhorn solver, free of any backend. In: scores or a cost and marginals, options, a device. Out: codes or a
// transport. Users include swav/sinkhorn/sinkhorn.hpp, which adds the CPU backend.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include "swav/comm/communicator.hpp"
#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/basic_codes.hpp"
#include "swav/sinkhorn/basic_transport.hpp"
#include "swav/sinkhorn/options.hpp"
#include "swav/sinkhorn/point_cost.hpp"
#include "swav/sinkhorn/transport_result.hpp"

namespace swav {

/// Entropic optimal transport by Sinkhorn's iterations (Cuturi 2013): `codes` turns scores into SwAV's codes by a fixed
/// number of iterations, `solve` finds the transport between any two marginals to a tolerance (docs/sinkhorn.md).
///
/// An object owns its workspace: calls after the first of a shape allocate nothing, and one object must not be used by
/// two threads at once.
template <StorageScalar Scalar, class Device = EigenDevice, Communicator Group = SelfCommunicator>
class Sinkhorn {
 public:
  using Matrix = typename Device::template Matrix<Scalar>;
  using Result = TransportResult<Scalar, Device, MatrixView<const Scalar>, Group>;
  template <class Metric>
  using PointResult = TransportResult<Scalar, Device, PointCost<Scalar, Metric>, Group>;

  /// Throws InvalidInput when an option is out of range.
  explicit Sinkhorn(SinkhornOptions options = {}, Device device = {}, Group group = {})
      : options_(std::move(options)), device_(device), group_(group), codes_(options_, device, group) {
    detail::check(options_);
  }

  [[nodiscard]] const SinkhornOptions& options() const { return options_; }

  /// Another epsilon from the next call on. Throws InvalidInput when it is out of range; nothing is changed then.
  void set_epsilon(double epsilon) {
    detail::check_epsilon(options_, epsilon);
    options_.epsilon = epsilon;
    codes_.set_epsilon(epsilon);
  }

  /// Codes Q (B x K) from scores (B x K): with P = exp((S - max S)/epsilon) and u = 1, `max_iterations` times
  /// v_k = (1/K)/sum_b u_b P_bk, u_b = (1/B)/sum_k P_bk v_k; Q_bk = B u_b P_bk v_k (Caron et al. 2020, section 3.1 and
  /// appendix). Rows sum to 1; columns sum to B/K only at convergence, at 3 iterations 0.5 to 1.25 times that is usual.
  /// T iterations read B x K entries T + 2 times and write them twice. Throws InvalidInput on empty or non-finite
  /// scores. Never NaN from finite scores with Stabilization::automatic or log.
  ///
  /// In a group of processes each has some of the rows, none perhaps, and gets their codes: those that one process with
  /// all rows would get, up to rounding. The call is collective, and throws in every process when it does in one.
  [[nodiscard]] Matrix codes(MatrixView<const Scalar> scores) { return codes_of_last(scores, scores.rows); }

  /// The codes of the last `rows` rows of the scores, when all of them take part: a batch behind a queue of earlier
  /// embeddings. rows <= B.
  [[nodiscard]] Matrix codes_of_last(MatrixView<const Scalar> scores, Index rows) {
    detail::require(rows >= 0 && rows <= scores.rows, "Sinkhorn::codes_of_last: ", rows, " rows of scores of shape ",
                    scores.rows, " x ", scores.cols, " found, at most all rows wanted");
    Matrix result(rows, scores.cols);
    codes_of_last_into(scores, result);
    return result;
  }

  /// The same into `out` (B x K), which may be the scores' own memory (the same view; partial overlap is not allowed).
  /// `out` is unchanged when this throws.
  void codes_into(MatrixView<const Scalar> scores, MatrixView<Scalar> out) {
    detail::require(out.rows == scores.rows, "Sinkhorn::codes_into: out of ", out.rows, " rows found, the scores' ",
                    scores.rows, " wanted");
    codes_.codes_into(scores, out);
  }

  /// codes_of_last(scores, out.rows) into `out`, which may be the scores' last rows themselves.
  void codes_of_last_into(MatrixView<const Scalar> scores, MatrixView<Scalar> out) { codes_.codes_into(scores, out); }

  /// The plan P (n x m, row sums a, column sums b) that minimises sum P C + epsilon KL(P | a b'), with C = `cost`
  /// (n x m) and masses a (n), b (m); an empty view of masses means 1/n, 1/m each. Entries of the cost may be +inf
  /// (forbidden pairs) and masses 0 (a mask); a and b must have the same total, which may be any, unless `rho_a` or
  /// `rho_b` is finite; and in each part of the problem that forbidden pairs leave, or it is infeasible. One read of
  /// the kernel an iteration. `warm`, where given, has the potentials to start from.
  ///
  /// The result refers to `cost`, whose matrix must live while plan(), apply() or marginal() is called; a temporary
  /// Matrix is moved into the result. Throws InvalidInput on NaN or -inf in the cost, NaN, infinite or negative masses,
  /// totals that are 0 or differ by more than the square root of the scalar's rounding, wrong sizes, or finite costs
  /// whose size leaves the exponent range. How a run ended is TransportResult::status; finite input never gives a NaN.
  ///
  /// In a group of processes each has some of the rows of the cost, none perhaps, with their masses a, and all have b,
  /// warm.g and the options alike. The call is collective, and throws in every process when it does in one.
  [[nodiscard]] Result solve(MatrixView<const Scalar> cost, VectorView<const Scalar> a = {},
                             VectorView<const Scalar> b = {}, const Result* warm = nullptr) {
    Result result;
    solve_into(cost, a, b, result, warm);
    return result;
  }
  template <class Temporary>
  requires std::same_as<std::remove_const_t<Temporary>, Matrix>
  [[nodiscard]] Result solve(Temporary&& cost, VectorView<const Scalar> a = {}, VectorView<const Scalar> b = {},
                             const Result* warm = nullptr) {
    auto owned = std::make_shared<const Matrix>(std::forward<Temporary>(cost));
    Result result = solve(MatrixView<const Scalar>(*owned), a, b, warm);
    result.owned_ = std::move(owned);
    return result;
  }

  /// The same with costs computed from points in each iteration and never stored: O((n + m) d) memory. The points must
  /// live as the matrix above must. In a group of processes each has some of the points x and all points y.
  template <class Metric>
  [[nodiscard]] PointResult<Metric> solve(const PointCost<Scalar, Metric>& cost, VectorView<const Scalar> a = {},
                                          VectorView<const Scalar> b = {}, const PointResult<Metric>* warm = nullptr) {
    PointResult<Metric> result;
    solve_into(cost, a, b, result, warm);
    return result;
  }

  /// The same into `result`, which may be `*warm`; unchanged when this throws.
  void solve_into(MatrixView<const Scalar> cost, VectorView<const Scalar> a, VectorView<const Scalar> b, Result& result,
                  const Result* warm = nullptr) {
    detail::check_view("Sinkhorn::solve: cost", cost);
    run(cost, a, b, result, warm);
  }
  template <class Metric>
  void solve_into(const PointCost<Scalar, Metric>& cost, VectorView<const Scalar> a, VectorView<const Scalar> b,
                  PointResult<Metric>& result, const PointResult<Metric>* warm = nullptr) {
    run(cost, a, b, result, warm);
  }

 private:
  template <class Cost, class CostResult>
  void run(const Cost& cost, VectorView<const Scalar> a, VectorView<const Scalar> b, CostResult& result,
           const CostResult* warm) {
    detail::TransportSolver<Scalar, Device, Cost, Group>(options_, device_, group_, workspace_, cost, a, b, warm)
        .solve_into(cost, group_, result);
  }

  SinkhornOptions options_;
  Device device_;
  Group group_;
  detail::CodesSolver<Scalar, Device, Group> codes_;
  typename TransportPasses<Device>::template Workspace<Scalar> workspace_;
};

/// The whole matrix of a cost between points.
template <class Scalar, class Metric, class Device = EigenDevice>
[[nodiscard]] typename Device::template Matrix<Scalar> cost_matrix(const PointCost<Scalar, Metric>& cost,
                                                                   const Device& device = {}) {
  typename Device::template Matrix<Scalar> matrix(cost.rows, cost.cols);
  TransportPasses<Device>::cost_matrix(device, cost, MatrixView<Scalar>(matrix));
  return matrix;
}

}  // namespace swav
