// Batches of transports on the device that a test is built for, with host matrices on both sides. In: SWAV_TEST_THRUST.
// Out: swav::test::SinkhornBatch.
#pragma once

#include <utility>

#include "devices.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/batch_passes.hpp"
#endif

namespace swav::test {

#ifndef SWAV_TEST_THRUST

template <class Scalar>
using SinkhornBatch = swav::SinkhornBatch<Scalar>;

#else

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

#endif

}  // namespace swav::test
