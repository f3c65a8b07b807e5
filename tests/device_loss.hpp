// The bank and the loss on the device that a test is built for, with host matrices on both sides. In: SWAV_TEST_THRUST.
// Out: swav::test::PrototypeBank and SwappedPredictionLoss.
#pragma once

#include "devices.hpp"
#include "swav/loss/swapped_prediction.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/loss_passes.hpp"
#endif

namespace swav::test {

#ifndef SWAV_TEST_THRUST

template <class Scalar, class Device = TestDevice>
using PrototypeBank = swav::PrototypeBank<Scalar, Device>;
template <class Scalar, class Device = TestDevice>
using SwappedPredictionLoss = swav::SwappedPredictionLoss<Scalar, Device>;

#else

template <class Scalar, class Device = TestDevice>
struct PrototypeBank : swav::PrototypeBank<Scalar, Device> {
  explicit PrototypeBank(const RowMatrix<Scalar>& weights, Device device = {})
      : swav::PrototypeBank<Scalar, Device>(on_device(weights), device) {}
};

/// The memory of Thrust's host systems is the host's: views may be of it, matrices that come back are copied.
template <class Scalar, class Device = TestDevice>
class SwappedPredictionLoss {
 public:
  using Step = SwappedPredictionStep<Scalar, EigenDevice>;
  using Bank = swav::PrototypeBank<Scalar, Device>;

  explicit SwappedPredictionLoss(SwappedPredictionOptions options = {}, Device device = {})
      : base_(std::move(options), device) {}

  Step operator()(MatrixView<const Scalar> z, const Bank& bank, Index views) {
    Step step;
    step_into(z, bank, views, step);
    return step;
  }
  void step_into(MatrixView<const Scalar> z, const Bank& bank, Index views, Step& step) {
    base_.step_into(z, bank, views, step_);
    step.value = step_.value;
    step.grad_embeddings = on_host<Scalar>(step_.grad_embeddings);
    step.grad_prototypes = on_host<Scalar>(step_.grad_prototypes);
    step.codes_entropy = step_.codes_entropy;
    step.prototypes_used = step_.prototypes_used;
  }
  double value(MatrixView<const Scalar> z, const Bank& bank, Index views) { return base_.value(z, bank, views); }

 private:
  swav::SwappedPredictionLoss<Scalar, Device> base_;
  SwappedPredictionStep<Scalar, Device> step_;
};

#endif

}  // namespace swav::test
