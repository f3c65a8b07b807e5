// Batches of transports on the device that a test is built for, with host matrices on both sides. In: SWAV_TEST_THRUST
// or SWAV_TEST_CUDA. Out: swav::test::SinkhornBatch.
#pragma once

#include <type_traits>
#include <utility>
#include <vector>

#include "devices.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/batch_passes.hpp"
#endif

namespace swav::test {

#if !defined(SWAV_TEST_THRUST) && !defined(SWAV_TEST_CUDA)

template <class Scalar>
using SinkhornBatch = swav::SinkhornBatch<Scalar>;

#elif defined(SWAV_TEST_THRUST)

/// The memory of Thrust's host systems is the host's: views may be of it, matrices that come back are copied.
template <class Scalar>
class SinkhornBatch {
  using Base = swav::SinkhornBatch<Scalar, TestDevice>;

 public:
  struct Result : Base::Result {
    Result() = default;
    Result(typename Base::Result base) : Base::Result(std::move(base)) {}
    [[nodiscard]] RowMatrix<Scalar> plan(Index k) const { return on_host<Scalar>(Base::Result::plan(k)); }
    [[nodiscard]] RowMatrix<Scalar> plans() const { return on_host<Scalar>(Base::Result::plans()); }
  };

  explicit SinkhornBatch(SinkhornOptions options = {}, TestDevice device = {}) : base_(std::move(options), device) {}

  Result solve(MatrixView<const Scalar> costs, Index n, MatrixView<const Scalar> a = {},
               MatrixView<const Scalar> b = {}, BatchSizes sizes = {}) {
    return base_.solve(costs, n, a, b, sizes);
  }
  Result solve(VectorView<const MatrixView<const Scalar> > costs, VectorView<const VectorView<const Scalar> > a = {},
               VectorView<const VectorView<const Scalar> > b = {}) {
    return base_.solve(costs, a, b);
  }
  void solve_into(MatrixView<const Scalar> costs, Index n, MatrixView<const Scalar> a, MatrixView<const Scalar> b,
                  BatchSizes sizes, Result& result) {
    base_.solve_into(costs, n, a, b, sizes, result);
  }

 private:
  Base base_;
};

#else

/// Costs and masses are copied to the GPU as they lie, plans come back.
template <class Scalar>
class CudaBatch {
  using D = DeviceScalar<Scalar>;
  using Base = swav::SinkhornBatch<D, CudaDevice>;
  using View = MatrixView<const Scalar>;
  using Masses = VectorView<const Scalar>;

 public:
  struct Result : Base::Result {
    Copies copies;
    [[nodiscard]] RowMatrix<Scalar> plan(Index k) const { return on_host<Scalar>(Base::Result::plan(k)); }
    [[nodiscard]] RowMatrix<Scalar> plans() const { return on_host<Scalar>(Base::Result::plans()); }
  };

  explicit CudaBatch(SinkhornOptions options = {}, CudaDevice device = {}) : base_(std::move(options), device) {}

  Result solve(View costs, Index n, View a = {}, View b = {}, BatchSizes sizes = {}) {
    Result result;
    solve_into(costs, n, a, b, sizes, result);
    return result;
  }
  Result solve(VectorView<const View> costs, VectorView<const Masses> a = {}, VectorView<const Masses> b = {}) {
    Result result;
    Copies masses;
    std::vector<MatrixView<const D> > on_device_costs;
    std::vector<VectorView<const D> > on_device_a, on_device_b;
    for (const View& cost : costs) on_device_costs.push_back(result.copies(cost));
    for (const Masses& of_one : a) on_device_a.push_back(masses(of_one));
    for (const Masses& of_one : b) on_device_b.push_back(masses(of_one));
    static_cast<typename Base::Result&>(result) = base_.solve(on_device_costs, on_device_a, on_device_b);
    return result;
  }
  void solve_into(View costs, Index n, View a, View b, BatchSizes sizes, Result& result) {
    Copies copies, masses;
    base_.solve_into(copies(costs), n, masses(a), masses(b), sizes, result);
    result.copies = std::move(copies);
  }

 private:
  Base base_;
};

struct CpuBatch : swav::SinkhornBatch<long double> {
  explicit CpuBatch(SinkhornOptions options = {}, const CudaDevice& = {})
      : swav::SinkhornBatch<long double>(std::move(options)) {}
};
template <class Scalar>
using SinkhornBatch = std::conditional_t<std::is_same_v<Scalar, long double>, CpuBatch, CudaBatch<Scalar> >;

#endif

}  // namespace swav::test
