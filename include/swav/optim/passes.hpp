// The device's part of an optimiser's step. In: parameters cut into blocks. Out: sums of squares, updated parameters
// and moments. A backend models it by specialising OptimPasses.
#pragma once

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

/// The moments' coefficients of AdamW.
struct AdamDecay {
  double first;
  double second;
  double epsilon;
};

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
template <class Device>
struct OptimPasses;

}  // namespace swav
