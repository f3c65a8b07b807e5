// The device that a test is built for, with host matrices on both sides. In: SWAV_TEST_THRUST, a system of Thrust (cpp,
// omp), or nothing for the CPU. Out: swav::test::Sinkhorn and what else the typed tests use.
#pragma once

#include <type_traits>
#include <utility>
#include <vector>

#include "swav/sinkhorn/sinkhorn.hpp"

#ifdef SWAV_TEST_THRUST
#include <thrust/system/cpp/execution_policy.h>
#include <thrust/system/omp/execution_policy.h>

#include "swav/backend/thrust/row_passes.hpp"
#include "swav/backend/thrust/sinkhorn_passes.hpp"
#include "swav/backend/thrust/transport_passes.hpp"
#endif

namespace swav::test {

#ifndef SWAV_TEST_THRUST

using TestDevice = EigenDevice;
inline TestDevice test_device(int threads) { return TestDevice(threads); }
inline constexpr int slowness = 1;  // random problems are fewer by this

template <class Scalar>
using Sinkhorn = swav::Sinkhorn<Scalar>;

template <class T>
const RowMatrix<T>& on_device(const RowMatrix<T>& matrix) {
  return matrix;
}
template <class T>
const RowMatrix<T>& on_host(const RowMatrix<T>& matrix) {
  return matrix;
}

#else

using TestDevice = ThrustDevice<std::remove_cvref_t<decltype(thrust::SWAV_TEST_THRUST::par)> >;
inline TestDevice test_device(int) { return TestDevice(); }
inline constexpr int slowness = 20;

template <class T>
using DeviceMatrix = typename TestDevice::template Matrix<T>;

template <class T>
DeviceMatrix<T> on_device(const RowMatrix<T>& matrix) {
  return DeviceMatrix<T>(MatrixView<const T>(matrix));
}
/// Into a host matrix, which is resized only when its shape differs.
template <class T>
void to_host(const DeviceMatrix<T>& matrix, RowMatrix<T>& host) {
  host.resize(matrix.rows(), matrix.cols());
  matrix.copy_to(MatrixView<T>(host));
}
template <class T>
RowMatrix<T> on_host(const DeviceMatrix<T>& matrix) {
  RowMatrix<T> copy;
  to_host(matrix, copy);
  return copy;
}

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

}  // namespace swav::test
