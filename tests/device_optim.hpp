// The optimisers on the device that a test is built for, with host memory on both sides. In: SWAV_TEST_THRUST or
// SWAV_TEST_CUDA. Out: swav::test::Sgd and AdamW.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "swav/optim/adamw.hpp"
#include "swav/optim/sgd.hpp"
#include "test_device.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/optim_passes.hpp"
#endif

namespace swav::test {

#ifndef SWAV_TEST_CUDA

template <class Scalar>
using Sgd = swav::Sgd<Scalar, TestDevice>;
template <class Scalar>
using AdamW = swav::AdamW<Scalar, TestDevice>;

#else

/// Values, gradients and state go to the GPU before each step; values and state come back after it.
template <class Scalar, class Base, class Options>
class CudaOptimizer {
  using D = DeviceScalar<Scalar>;
  using Moment = Accumulator<D>;

 public:
  CudaOptimizer(Options options, std::vector<Parameter<Scalar> > parameters, CudaDevice device = {})
      : device_(device), base_(options, on_device(parameters), device) {
    for (const StateBuffer<Moment>& buffer : base_.state())
      state_.emplace_back(static_cast<std::size_t>(buffer.values.size), Moment(0));
  }

  double step(double rate) {
    for (const auto& mirror : gradients_) mirror->upload();
    for (const auto& mirror : values_) mirror->upload();
    auto buffers = base_.state();
    for (std::size_t i = 0; i < buffers.size(); ++i)
      detail::upload(device_, state_[i].data(), buffers[i].values.size, buffers[i].values.data);
    const double norm = base_.step(rate);  // waits, and throws
    for (const auto& mirror : values_) mirror->download();
    for (std::size_t i = 0; i < buffers.size(); ++i)
      detail::download(device_, buffers[i].values.data, buffers[i].values.size, state_[i].data());
    return norm;
  }

  [[nodiscard]] std::vector<StateBuffer<Moment> > state() {
    std::vector<StateBuffer<Moment> > buffers = base_.state();
    for (std::size_t i = 0; i < buffers.size(); ++i) buffers[i].values = state_[i];
    return buffers;
  }
  [[nodiscard]] Index steps() const { return base_.steps(); }
  void set_steps(Index steps) { base_.set_steps(steps); }

 private:
  std::vector<Parameter<D> > on_device(const std::vector<Parameter<Scalar> >& parameters) {
    std::vector<Parameter<D> > list;
    for (const Parameter<Scalar>& p : parameters)
      list.push_back(
          {copied(p.value, values_), copied(p.gradient, gradients_), p.decays, p.adapts, p.name, p.frozen_steps});
    return list;
  }
  template <class T>
  static auto copied(VectorView<T> view, std::vector<std::shared_ptr<Mirror> >& mirrors) {
    const MatrixView<T> row(view.data, 1, view.size);
    mirrors.push_back(std::make_shared<Mirror>());
    mirrors.back()->take(row);
    mirrors.back()->upload();
    const auto on = mirrors.back()->on_device(row);
    return VectorView(on.data, view.size);
  }

  CudaDevice device_;
  std::vector<std::shared_ptr<Mirror> > values_, gradients_;
  Base base_;
  std::vector<std::vector<Moment> > state_;
};

template <class Scalar>
using Sgd = CudaOptimizer<Scalar, swav::Sgd<DeviceScalar<Scalar>, CudaDevice>, SgdOptions>;
template <class Scalar>
using AdamW = CudaOptimizer<Scalar, swav::AdamW<DeviceScalar<Scalar>, CudaDevice>, AdamWOptions>;

#endif

}  // namespace swav::test
