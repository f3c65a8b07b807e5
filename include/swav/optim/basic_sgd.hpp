// Stochastic gradient descent with momentum, and with LARC or LARS if asked for, free of any backend.
// In: parameters with their gradients, a rate a step. Out: updated parameters; momenta that can be saved.
// Users include swav/optim/sgd.hpp, which adds the CPU backend.
#pragma once

#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "swav/core/device.hpp"
#include "swav/optim/parameter_list.hpp"

namespace swav {

/// Layer-wise adaptive rates (You et al., "Large batch training of convolutional networks", 2017) in the form that the
/// SwAV release trains with: the decayed gradient is scaled by trust_coefficient |w| / (|g| + weight_decay |w| +
/// epsilon), unclipped. A parameter whose value or gradient has norm 0 is left unscaled and undecayed.
struct LarcOptions {
  double trust_coefficient = 0.001;
  double epsilon = 1e-8;
};

/// Layer-wise adaptive rates as their paper has them (You et al. 2017, algorithm 1): m = momentum m + rate
/// trust_coefficient |w| / (|g| + weight_decay |w|) (g + weight_decay w), w -= m. The rate is in the momentum, so that
/// it matters when it was. A parameter that does not adapt, or whose value or gradient has norm 0, has no local rate.
struct LarsOptions {
  double trust_coefficient = 0.001;
};

struct SgdOptions {
  double momentum = 0.9;
  double weight_decay = 1e-6;
  std::optional<LarcOptions> larc = {};
  std::optional<LarsOptions> lars = {};  ///< at most one of the two
};

/// SGD as torch.optim.SGD without dampening: m = momentum m + g, w -= rate m, with g = gradient + weight_decay w,
/// scaled by LARC's or LARS's local rate where one is on and the parameter adapts. 16-bit parameters keep their momenta
/// in float.
template <class Scalar, class Device = EigenDevice, class Gradient = Scalar>
class Sgd {
 public:
  using Moment = Accumulator<Scalar>;

  /// Momenta start at zero. Throws InvalidInput on options out of range and on the parameter lists that Parameter's
  /// description excludes.
  Sgd(SgdOptions options, std::vector<Parameter<Scalar, Gradient>> parameters, Device device = Device{})
      : options_(checked(options)), device_(std::move(device)), list_(std::move(parameters), device_) {
    momenta_ = list_.make_moments(device_, storage_);
    if constexpr (detail::StepsAlone<Device>)
      list_.workspace.start(device_, list_.blocks(), list_.parameters(), momenta_, {});
  }

  /// One update of every parameter at this rate; returns the norm of the whole gradient (frozen parameters aside).
  /// Allocates nothing; the result does not depend on the number of threads. Throws InvalidInput, with nothing changed,
  /// if the rate is negative or not finite, or a gradient is not finite. CudaDevice enqueues the step, two launches;
  /// the norm is waited for where it is read, and bad gradients are found on the GPU.
  const DeviceValue<Device, double>& step(double learning_rate) {
    detail::require(std::isfinite(learning_rate) && learning_rate >= 0, "learning_rate: ", learning_rate,
                    " found, a finite number that is 0 or more wanted");
    if constexpr (detail::StepsAlone<Device>) {
      Passes::sgd_step(device_, rates(), options_.momentum, StepRate{learning_rate}, list_.workspace, norm_);
    } else {
      norm_ = list_.measure(device_, steps_, options_.larc.has_value() || options_.lars.has_value());
      for (std::size_t p = 0; p < list_.rules.size(); ++p) list_.rules[p] = rule(p, learning_rate);
      Passes::sgd(device_, list_.blocks(), list_.parameters(), std::span<const UpdateRule>(list_.rules),
                  momenta_.data(), options_.momentum, options_.lars ? 1.0 : learning_rate, list_.workspace);
      ++steps_;
    }
    return norm_;
  }
  /// The same at the rate that lies in the device's memory when the step is made: for a graph that is replayed.
  const DeviceValue<Device, double>& step(const double* learning_rate) requires detail::StepsAlone<Device> {
    Passes::sgd_step(device_, rates(), options_.momentum, StepRate{0, learning_rate}, list_.workspace, norm_);
    return norm_;
  }

  /// Views of the momenta, "<parameter>.momentum", in the parameters' order.
  [[nodiscard]] std::vector<StateBuffer<Moment>> state() {
    std::vector<StateBuffer<Moment>> state;
    list_.append_state("momentum", momenta_, state);
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

  static SgdOptions checked(const SgdOptions& options) {
    detail::require(options.momentum >= 0 && options.momentum < 1, "momentum: ", options.momentum,
                    " found, a number in [0, 1) wanted");
    detail::require(std::isfinite(options.weight_decay) && options.weight_decay >= 0,
                    "weight_decay: ", options.weight_decay, " found, a finite number that is 0 or more wanted");
    if (options.larc) {
      detail::require(std::isfinite(options.larc->trust_coefficient) && options.larc->trust_coefficient > 0,
                      "larc.trust_coefficient: ", options.larc->trust_coefficient,
                      " found, a finite number above 0 wanted");
      detail::require(std::isfinite(options.larc->epsilon) && options.larc->epsilon >= 0,
                      "larc.epsilon: ", options.larc->epsilon, " found, a finite number that is 0 or more wanted");
    }
    if (options.lars)
      detail::require(std::isfinite(options.lars->trust_coefficient) && options.lars->trust_coefficient > 0,
                      "lars.trust_coefficient: ", options.lars->trust_coefficient,
                      " found, a finite number above 0 wanted");
    detail::require(!options.larc || !options.lars, "lars: found beside larc, one of them wanted");
    return options;
  }

  [[nodiscard]] SgdRates rates() const {
    SgdRates rates{.weight_decay = options_.weight_decay};
    if (options_.larc) {
      rates.adaptation = SgdRates::Adaptation::larc;
      rates.trust_coefficient = options_.larc->trust_coefficient;
      rates.epsilon = options_.larc->epsilon;
    } else if (options_.lars) {
      rates.adaptation = SgdRates::Adaptation::lars;
      rates.trust_coefficient = options_.lars->trust_coefficient;
    }
    return rates;
  }

  [[nodiscard]] UpdateRule rule(std::size_t p, double learning_rate) const {
    const auto& parameter = list_.parameters()[p];
    UpdateRule rule = detail::sgd_rule(rates(), parameter.decays, parameter.adapts, learning_rate, list_.value_norms[p],
                                       list_.gradient_norms[p]);
    rule.frozen = list_.frozen(p, steps_);
    return rule;
  }

  SgdOptions options_;
  Device device_;
  detail::ParameterList<Scalar, Device, Gradient> list_;
  typename Device::template Buffer<Moment> storage_;
  std::vector<Moment*> momenta_;
  DeviceValue<Device, double> norm_ = 0.0;
  Index steps_ = 0;  // where the device does not count them
};

}  // namespace swav
