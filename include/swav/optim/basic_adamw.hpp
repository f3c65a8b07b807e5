// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019), free of any backend.
// In: parameters with their gradients, a rate a step. Out: updated parameters; both moments, which can be saved.
// Users include swav/optim/adamw.hpp, which adds the CPU backend.
#pragma once

#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "swav/core/device.hpp"
#include "swav/optim/parameter_list.hpp"

namespace swav {

struct AdamWOptions {
  double first_decay = 0.9;     ///< of the mean gradient (beta 1)
  double second_decay = 0.999;  ///< of the mean square (beta 2)
  double epsilon = 1e-8;        ///< added to the root of the corrected mean square
  double weight_decay = 0.01;
};

/// AdamW as torch.optim.AdamW: the value first decays by rate x weight_decay, then moves by the bias-corrected ratio of
/// the moments. A parameter's bias correction counts from its first step that is not frozen. 16-bit parameters keep
/// their moments in float.
template <class Scalar, class Device = EigenDevice, class Gradient = Scalar>
class AdamW {
 public:
  using Moment = Accumulator<Scalar>;

  /// Moments start at zero. Throws InvalidInput on options out of range and on the parameter lists that Parameter's
  /// description excludes.
  AdamW(AdamWOptions options, std::vector<Parameter<Scalar, Gradient>> parameters, Device device = Device{})
      : options_(checked(options)), device_(std::move(device)), list_(std::move(parameters), device_) {
    first_ = list_.make_moments(device_, first_storage_);
    second_ = list_.make_moments(device_, second_storage_);
    if constexpr (detail::StepsAlone<Device>)
      list_.workspace.start(device_, list_.blocks(), list_.parameters(), first_, second_);
  }

  /// One update of every parameter at this rate; returns the norm of the whole gradient (frozen parameters aside).
  /// Allocates nothing; the result does not depend on the number of threads. Throws InvalidInput, with nothing changed,
  /// if the rate is negative or not finite, or a gradient is not finite. CudaDevice enqueues the step, two launches;
  /// the norm is waited for where it is read, and bad gradients are found on the GPU.
  const DeviceValue<Device, double>& step(double learning_rate) {
    detail::require(std::isfinite(learning_rate) && learning_rate >= 0, "learning_rate: ", learning_rate,
                    " found, a finite number that is 0 or more wanted");
    if constexpr (detail::StepsAlone<Device>) {
      Passes::adamw_step(device_, decay(), options_.weight_decay, StepRate{learning_rate}, list_.workspace, norm_);
    } else {
      norm_ = list_.measure(device_, steps_, false);
      for (std::size_t p = 0; p < list_.rules.size(); ++p) list_.rules[p] = rule(p, learning_rate);
      Passes::adamw(device_, list_.blocks(), list_.parameters(), std::span<const UpdateRule>(list_.rules),
                    first_.data(), second_.data(), decay(), learning_rate, list_.workspace);
      ++steps_;
    }
    return norm_;
  }
  /// The same at the rate that lies in the device's memory when the step is made: for a graph that is replayed.
  const DeviceValue<Device, double>& step(const double* learning_rate) requires detail::StepsAlone<Device> {
    Passes::adamw_step(device_, decay(), options_.weight_decay, StepRate{0, learning_rate}, list_.workspace, norm_);
    return norm_;
  }

  /// Views of the moments, "<parameter>.first_moment" of all parameters in order, then "<parameter>.second_moment".
  [[nodiscard]] std::vector<StateBuffer<Moment>> state() {
    std::vector<StateBuffer<Moment>> state;
    list_.append_state("first_moment", first_, state);
    list_.append_state("second_moment", second_, state);
    return state;
  }

  /// Steps taken so far; waits for them. set_steps resumes from a checkpoint.
  [[nodiscard]] Index steps() const {
    if constexpr (detail::StepsAlone<Device>)
      return Passes::steps(device_, list_.workspace);
    else
      return steps_;
  }
  void set_steps(Index steps) {
    detail::require(steps >= 0, "steps: ", steps, " found, 0 or more wanted");
    if constexpr (detail::StepsAlone<Device>)
      Passes::set_steps(device_, steps, list_.workspace);
    else
      steps_ = steps;
  }

 private:
  using Passes = OptimPasses<Device>;

  static AdamWOptions checked(const AdamWOptions& options) {
    detail::require(options.first_decay >= 0 && options.first_decay < 1, "first_decay: ", options.first_decay,
                    " found, a number in [0, 1) wanted");
    detail::require(options.second_decay >= 0 && options.second_decay < 1, "second_decay: ", options.second_decay,
                    " found, a number in [0, 1) wanted");
    detail::require(std::isfinite(options.epsilon) && options.epsilon > 0, "epsilon: ", options.epsilon,
                    " found, a finite number above 0 wanted");
    detail::require(std::isfinite(options.weight_decay) && options.weight_decay >= 0,
                    "weight_decay: ", options.weight_decay, " found, a finite number that is 0 or more wanted");
    return options;
  }

  [[nodiscard]] AdamDecay decay() const { return {options_.first_decay, options_.second_decay, options_.epsilon}; }

  [[nodiscard]] UpdateRule rule(std::size_t p, double learning_rate) const {
    const auto& parameter = list_.parameters()[p];
    if (list_.frozen(p, steps_)) return {.frozen = true};
    return detail::adamw_rule(decay(), parameter.decays ? options_.weight_decay : 0.0, learning_rate,
                              static_cast<double>(steps_ - parameter.frozen_steps + 1));
  }

  AdamWOptions options_;
  Device device_;
  detail::ParameterList<Scalar, Device, Gradient> list_;
  typename Device::template Buffer<Moment> first_storage_;
  typename Device::template Buffer<Moment> second_storage_;
  std::vector<Moment*> first_;
  std::vector<Moment*> second_;
  DeviceValue<Device, double> norm_ = 0.0;
  Index steps_ = 0;  // where the device does not count them
};

}  // namespace swav
