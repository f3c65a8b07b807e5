// The solver on the device that a test is built for, with host matrices on both sides. In: SWAV_TEST_THRUST or
// SWAV_TEST_CUDA. Out: swav::test::Sinkhorn.
#pragma once

#include <utility>
#include <vector>

#include "swav/sinkhorn/sinkhorn.hpp"
#include "test_device.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/row_passes.hpp"
#include "swav/backend/thrust/sinkhorn_passes.hpp"
#include "swav/backend/thrust/transport_passes.hpp"
#endif

namespace swav::test {

#if !defined(SWAV_TEST_THRUST) && !defined(SWAV_TEST_CUDA)

template <class Scalar>
using Sinkhorn = swav::Sinkhorn<Scalar>;

#elif defined(SWAV_TEST_THRUST)

/// A device's result, whose matrices come back to the host.
template <class Base, class Scalar>
struct HostResult : Base {
  HostResult() = default;
  HostResult(Base base) : Base(std::move(base)) {}
  [[nodiscard]] RowMatrix<Scalar> plan() const { return on_host<Scalar>(Base::plan()); }
  [[nodiscard]] RowMatrix<Scalar> apply(const RowMatrix<Scalar>& x, int axis = 1) const {
    return on_host<Scalar>(Base::apply(on_device(x), axis));
  }
  [[nodiscard]] RowMatrix<Scalar> map(const RowMatrix<Scalar>& z) const {
    return on_host<Scalar>(Base::map(on_device(z)));
  }
};

/// The memory of Thrust's host systems is the host's: views may be of it, matrices that come back are copied.
template <class Scalar>
class Sinkhorn {
  using Base = swav::Sinkhorn<Scalar, TestDevice>;
  using View = MatrixView<const Scalar>;
  using Masses = VectorView<const Scalar>;

 public:
  using Result = HostResult<typename Base::Result, Scalar>;
  template <class Metric>
  using PointResult = HostResult<typename Base::template PointResult<Metric>, Scalar>;

  explicit Sinkhorn(SinkhornOptions options = {}, TestDevice device = {}) : base_(std::move(options), device) {}

  RowMatrix<Scalar> codes(View scores) { return on_host<Scalar>(base_.codes(scores)); }
  RowMatrix<Scalar> codes_of_last(View scores, Index rows) {
    return on_host<Scalar>(base_.codes_of_last(scores, rows));
  }
  void codes_into(View scores, MatrixView<Scalar> out) { base_.codes_into(scores, out); }
  void codes_of_last_into(View scores, MatrixView<Scalar> out) { base_.codes_of_last_into(scores, out); }

  Result solve(View cost, Masses a = {}, Masses b = {}, const Result* warm = nullptr) {
    return base_.solve(cost, a, b, warm);
  }
  template <class Metric>
  PointResult<Metric> solve(const PointCost<Scalar, Metric>& cost, Masses a = {}, Masses b = {},
                            const PointResult<Metric>* warm = nullptr) {
    return base_.solve(cost, a, b, warm);
  }
  void solve_into(View cost, Masses a, Masses b, Result& result, const Result* warm = nullptr) {
    base_.solve_into(cost, a, b, result, warm);
  }

 private:
  Base base_;
};

#endif

/// Functions of transports on the test's device, of host matrices.
#ifdef SWAV_TEST_CUDA

template <class Scalar, class Metric>
RowMatrix<Scalar> points_gradient_of(const PointCost<Scalar, Metric>& points, const RowMatrix<Scalar>& by) {
  Copies copies;
  return on_host<Scalar>(points_gradient(copies(points), copies(MatrixView<const Scalar>(by)), TestDevice()));
}
template <class Result>
auto plan_gradients_of(const Result& result, const RowMatrix<double>& by, const PlanGradientOptions& options = {}) {
  return plan_gradients(result, Copies()(MatrixView<const double>(by)), options);
}
template <class Metric>
struct CudaDivergence : SinkhornDivergence<double, Metric, TestDevice> {
  Copies copies;
};
template <class Metric>
CudaDivergence<Metric> divergence_of(const PointCost<double, Metric>& cost, VectorView<const double> a,
                                     VectorView<const double> b, const SinkhornOptions& options) {
  CudaDivergence<Metric> result;
  Copies masses;
  static_cast<SinkhornDivergence<double, Metric, TestDevice>&>(result) =
      sinkhorn_divergence(result.copies(cost), masses(a), masses(b), options, TestDevice());
  return result;
}

#else

template <class Scalar, class Metric>
RowMatrix<Scalar> points_gradient_of(const PointCost<Scalar, Metric>& points, const RowMatrix<Scalar>& by) {
  return on_host(points_gradient(points, by, TestDevice()));
}
template <class Result>
auto plan_gradients_of(const Result& result, const RowMatrix<double>& by, const PlanGradientOptions& options = {}) {
  return plan_gradients(result, by, options);
}
template <class Metric>
auto divergence_of(const PointCost<double, Metric>& cost, VectorView<const double> a, VectorView<const double> b,
                   const SinkhornOptions& options) {
  return sinkhorn_divergence(cost, a, b, options, TestDevice());
}

#endif

}  // namespace swav::test
