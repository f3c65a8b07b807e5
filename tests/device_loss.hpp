// The queue and the loss on the device that a test is built for, with host matrices on both sides. In:
// SWAV_TEST_THRUST or SWAV_TEST_CUDA. Out: swav::test::EmbeddingQueue, SwappedPredictionLoss and its parts, the
// PrototypeBank it takes.
#pragma once

#include "device_bank.hpp"
#include "devices.hpp"
#include "swav/loss/swapped_prediction.hpp"
#include "swav/prototypes/queue.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/loss_passes.hpp"
#endif

namespace swav::test {

#ifndef SWAV_TEST_CUDA
template <class Scalar>
using EmbeddingQueue = swav::EmbeddingQueue<Scalar, TestDevice>;
template <class Scalar>
using CodeSource = swav::CodeSource<Scalar, TestDevice>;
template <class Scalar>
using ViewCodes = swav::ViewCodes<Scalar, TestDevice>;
#endif

#if !defined(SWAV_TEST_THRUST) && !defined(SWAV_TEST_CUDA)

template <class Scalar, class Device = TestDevice>
using SwappedPredictionLoss = swav::SwappedPredictionLoss<Scalar, Device>;

#elif defined(SWAV_TEST_THRUST)

/// The memory of Thrust's host systems is the host's: views may be of it, matrices that come back are copied.
template <class Scalar, class Device = TestDevice>
class SwappedPredictionLoss {
 public:
  using Step = SwappedPredictionStep<Scalar, EigenDevice>;
  using Bank = swav::PrototypeBank<Scalar, Device>;

  explicit SwappedPredictionLoss(SwappedPredictionOptions options = {}, Device device = {})
      : base_(std::move(options), device) {}

  Step operator()(MatrixView<const Scalar> z, const Bank& bank, Index views, const CodeSource<Scalar>& source = {}) {
    Step step;
    step_into(z, bank, views, step, source);
    return step;
  }
  void step_into(MatrixView<const Scalar> z, const Bank& bank, Index views, Step& step,
                 const CodeSource<Scalar>& source = {}) {
    base_.step_into(z, bank, views, step_, source);
    step.value = step_.value;
    to_host<Scalar>(step_.grad_embeddings, step.grad_embeddings);
    to_host<Scalar>(step_.grad_prototypes, step.grad_prototypes);
    step.codes_entropy = step_.codes_entropy;
    step.prototypes_used = step_.prototypes_used;
  }
  double value(MatrixView<const Scalar> z, const Bank& bank, Index views) { return base_.value(z, bank, views); }
  void codes_into(MatrixView<const Scalar> z, const Bank& bank, Index samples, ViewCodes<Scalar>& codes,
                  EmbeddingQueue<Scalar>* queue = nullptr) {
    base_.codes_into(z, bank, samples, codes, queue);
  }
  void set_temperature(double temperature) { base_.set_temperature(temperature); }
  void set_epsilon(double epsilon) { base_.set_epsilon(epsilon); }

 private:
  swav::SwappedPredictionLoss<Scalar, Device> base_;
  SwappedPredictionStep<Scalar, Device> step_;
};

#else

/// Embeddings are copied to the GPU as they lie in the host's memory, results come back when they are ready.
template <class Scalar>
class CudaLoss {
  using D = DeviceScalar<Scalar>;

 public:
  using Step = SwappedPredictionStep<Scalar, EigenDevice>;
  using Bank = CudaBank<Scalar>;

  explicit CudaLoss(SwappedPredictionOptions options = {}, CudaDevice device = {})
      : device_(device), base_(std::move(options), device) {}

  Step operator()(MatrixView<const Scalar> z, const Bank& bank, Index views) {
    Step step;
    step_into(z, bank, views, step);
    return step;
  }
  void step_into(MatrixView<const Scalar> z, const Bank& bank, Index views, Step& step) {
    with_mirrors(device_, z, MatrixView<Scalar>{}, [&](auto in, auto) {
      SwappedPredictionStep<D, CudaDevice> found;
      base_.step_into(in, bank, views, found);
      device_.synchronize();
      step.value = found.value;
      step.grad_embeddings = on_host<Scalar>(found.grad_embeddings);
      step.grad_prototypes = on_host<Scalar>(found.grad_prototypes);
      step.codes_entropy = found.codes_entropy;
      step.prototypes_used = found.prototypes_used;
    });
  }
  double value(MatrixView<const Scalar> z, const Bank& bank, Index views) {
    double value = 0;
    with_mirrors(device_, z, MatrixView<Scalar>{}, [&](auto in, auto) { value = base_.value(in, bank, views); });
    return value;
  }
  void set_temperature(double temperature) { base_.set_temperature(temperature); }
  void set_epsilon(double epsilon) { base_.set_epsilon(epsilon); }

 private:
  CudaDevice device_;
  swav::SwappedPredictionLoss<D, CudaDevice> base_;
};

struct CpuLoss : swav::SwappedPredictionLoss<long double> {
  explicit CpuLoss(SwappedPredictionOptions options = {}, const CudaDevice& = {})
      : swav::SwappedPredictionLoss<long double>(std::move(options)) {}
};

template <class Scalar, class Device = TestDevice>
using SwappedPredictionLoss = std::conditional_t<std::is_same_v<Scalar, long double>, CpuLoss, CudaLoss<Scalar> >;

#endif

}  // namespace swav::test
