// The device's part of an optimiser's step. In: parameters cut into blocks. Out: sums of squares, updated parameters
// and moments. A backend models it by specialising OptimPasses.
#pragma once

#include <cmath>

#include "swav/core/host_device.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav {

/// A run of adjacent elements of one parameter, at most optim_block_size of them. Work is shared out by block, and the
/// sums of squares are kept by block, so that neither depends on the number of threads.
struct ParameterBlock {
  Index parameter;
  Index first;
  Index count;
};

inline constexpr Index optim_block_size = 16384;

/// What a step does with one parameter.
struct UpdateRule {
  double weight_decay = 0;     ///< SGD: times the value, joins the gradient. AdamW: times the rate, shrinks the value
  double gradient_scale = 1;   ///< SGD: the decayed gradient is multiplied by this (a local rate)
  double step_size = 0;        ///< AdamW: the rate over the first moment's bias correction
  double root_correction = 1;  ///< AdamW: the root of the second moment's bias correction
  bool frozen = false;         ///< nothing is changed
};

/// How SGD's gradients are scaled: LARC's or LARS's local rates, or none.
struct SgdRates {
  enum class Adaptation { none, larc, lars };
  Adaptation adaptation = Adaptation::none;
  double weight_decay = 0, trust_coefficient = 0, epsilon = 0;
};

/// The moments' coefficients of AdamW.
struct AdamDecay {
  double first;
  double second;
  double epsilon;
};

namespace detail {

/// What a step of SGD does with a parameter of these norms; `rates` and the options' meaning as in optim/basic_sgd.hpp.
SWAV_HOST_DEVICE inline UpdateRule sgd_rule(const SgdRates& rates, bool decays, bool adapts, double learning_rate,
                                            double value_norm, double gradient_norm) {
  UpdateRule rule;
  rule.weight_decay = decays ? rates.weight_decay : 0.0;
  const bool scalable = adapts && value_norm > 0 && gradient_norm > 0;
  if (rates.adaptation == SgdRates::Adaptation::larc && adapts) {
    if (!scalable)
      rule.weight_decay = 0;
    else
      rule.gradient_scale =
          rates.trust_coefficient * value_norm / (gradient_norm + rule.weight_decay * value_norm + rates.epsilon);
  }
  if (rates.adaptation == SgdRates::Adaptation::lars) {
    rule.gradient_scale = learning_rate;
    if (scalable)
      rule.gradient_scale *= rates.trust_coefficient * value_norm / (gradient_norm + rule.weight_decay * value_norm);
  }
  return rule;
}

/// What a parameter's `step`-th step of AdamW, counted from 1, does with it.
SWAV_HOST_DEVICE inline UpdateRule adamw_rule(const AdamDecay& decay, double weight_decay, double learning_rate,
                                              double step) {
  UpdateRule rule;
  rule.weight_decay = weight_decay;
  rule.step_size = learning_rate / (1 - std::pow(decay.first, step));
  rule.root_correction = std::sqrt(1 - std::pow(decay.second, step));
  return rule;
}

}  // namespace detail

/// Static functions that a backend provides, for every Scalar with T = Accumulator<Scalar>:
///   Workspace<Scalar>, with load(device, blocks, parameters): what the backend keeps of them, before the first pass
///   clear<T>(device, T* moments, Index count)                       moments to zero
///   squares<Scalar>(device, blocks, parameters, of_values, of_gradients, workspace)
///       each block's sum of squares in double into of_gradients[block], and, unless it is null, of_values[block]
///   sgd<Scalar>(device, blocks, parameters, rules, T* const* momenta, momentum, learning_rate, workspace)
///       g = gradient_scale (gradient + weight_decay value); momenta = momentum momenta + g; value -= learning_rate
///       momenta
///   adamw<Scalar>(device, blocks, parameters, rules, T* const* first, T* const* second, decay, learning_rate,
///   workspace)
///       value -= learning_rate weight_decay value; first and second moments move towards gradient and its square;
///       value -= step_size first / (sqrt(second) / root_correction + epsilon)
/// blocks, parameters and rules are spans; momenta, first and second hold one pointer a parameter; all of these, and
/// the sums of squares, are in host memory. Each reads and writes every element once and allocates nothing.
///
/// A device that is not waited for says so by a type StepsAlone, counts the steps itself, and provides in place of
/// squares, sgd and adamw, for gradients of a type of their own:
///   Workspace<Scalar, Gradient>, with load, and start(device, blocks, parameters, first, second): the moments
///   sgd_step(device, rates, momentum, rate, workspace, Value<double>& norm), adamw_step(device, decay, weight_decay,
///   rate, workspace, norm): a whole step at a StepRate; a gradient that is not finite is a fault of the device
///   steps(device, workspace) -> Index, set_steps(device, steps, workspace)
template <class Device>
struct OptimPasses;

/// A rate that the host knows, or that is read in the device's memory when the step is made.
struct StepRate {
  double value = 0;
  const double* in_memory = nullptr;
};

namespace detail {

template <class Device>
concept StepsAlone = requires {
  typename OptimPasses<Device>::StepsAlone;
};

template <class Device, class Scalar, class Gradient>
struct OptimWorkspaceOf {
  using type = typename OptimPasses<Device>::template Workspace<Scalar>;
};
template <StepsAlone Device, class Scalar, class Gradient>
struct OptimWorkspaceOf<Device, Scalar, Gradient> {
  using type = typename OptimPasses<Device>::template Workspace<Scalar, Gradient>;
};

}  // namespace detail

}  // namespace swav
