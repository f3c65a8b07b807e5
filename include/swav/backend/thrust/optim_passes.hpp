// The optimisers' passes by Thrust: one algorithm over all parameters a pass. In: blocks of parameters in the policy's
// memory. Out: see optim/passes.hpp.
#pragma once

#include <thrust/functional.h>

#include <cmath>
#include <span>
#include <vector>

#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/optim/parameter.hpp"
#include "swav/optim/passes.hpp"

namespace swav {
namespace detail {

/// The number of an element's parameter, and the element's place in it; none beyond a block's end.
struct PlaceInParameter {
  Index parameter, element;
  bool exists;
};
struct ParameterPlaces {
  const ParameterBlock* blocks;
  SWAV_HOST_DEVICE PlaceInParameter operator()(Index block, Index i) const {
    return {blocks[block].parameter, blocks[block].first + i, i < blocks[block].count};
  }
};

}  // namespace detail

template <class Policy>
struct OptimPasses<ThrustDevice<Policy>> {
  using Device = ThrustDevice<Policy>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  /// The tables of blocks and parameters, and room for those of a step.
  template <class Scalar>
  struct Workspace {
    using T = Accumulator<Scalar>;

    void load(const Device& device, std::span<const ParameterBlock> block_list,
              std::span<const Parameter<Scalar>> parameters) {
      std::vector<Scalar*> value_list;
      std::vector<const Scalar*> gradient_list;
      for (const Parameter<Scalar>& parameter : parameters) {
        value_list.push_back(parameter.value.data);
        gradient_list.push_back(parameter.gradient.data);
      }
      const auto count = static_cast<Index>(parameters.size());
      copy(device, block_list.data(), static_cast<Index>(block_list.size()), blocks);
      copy(device, value_list.data(), count, values);
      copy(device, gradient_list.data(), count, gradients);
      const auto block_count = static_cast<Index>(block_list.size());
      sums.reserve(block_count);
      detail::reserve_for_rows<double>(device, block_count, optim_block_size);
      rules.reserve(count);
      first.reserve(count);
      second.reserve(count);
    }

    template <class U>
    static void copy(const Device& device, const U* from, Index count, Buffer<U>& to) {
      detail::upload(device.policy(), from, count, to.reserve(count));
    }

    Buffer<ParameterBlock> blocks;
    Buffer<Scalar*> values;
    Buffer<const Scalar*> gradients;
    Buffer<double> sums;
    Buffer<UpdateRule> rules;
    Buffer<T*> first, second;  // moments
  };

  template <class T>
  static void clear(const Device& device, T* moments, Index count) {
    detail::for_each_index(device.policy(), count, [=] SWAV_HOST_DEVICE(Index i) { moments[i] = T(0); });
  }

  template <class Scalar>
  static void squares(const Device& device, std::span<const ParameterBlock> blocks, std::span<const Parameter<Scalar>>,
                      double* of_values, double* of_gradients, Workspace<Scalar>& w) {
    const auto count = static_cast<Index>(blocks.size());
    sum_squares<Scalar>(device, count, w.gradients.data(), w);
    detail::download(device.policy(), w.sums.data(), count, of_gradients);
    if (of_values == nullptr) return;
    sum_squares<Scalar>(device, count, w.values.data(), w);
    detail::download(device.policy(), w.sums.data(), count, of_values);
  }

  template <class Scalar>
  static void sgd(const Device& device, std::span<const ParameterBlock> blocks,
                  std::span<const Parameter<Scalar>> parameters, std::span<const UpdateRule> rules,
                  Accumulator<Scalar>* const* momenta, double momentum, double learning_rate, Workspace<Scalar>& w) {
    using T = Accumulator<Scalar>;
    const auto count = static_cast<Index>(parameters.size());
    w.copy(device, rules.data(), count, w.rules);
    w.copy(device, momenta, count, w.first);
    const detail::ParameterPlaces places{w.blocks.data()};
    Scalar* const* const values = w.values.data();
    const Scalar* const* const gradients = w.gradients.data();
    T* const* const moments = w.first.data();
    const UpdateRule* const all_rules = w.rules.data();
    const T keep = static_cast<T>(momentum), rate = static_cast<T>(learning_rate);
    detail::for_each_entry(device.policy(), static_cast<Index>(blocks.size()), optim_block_size,
                           [=] SWAV_HOST_DEVICE(Index block, Index i) {
                             const detail::PlaceInParameter place = places(block, i);
                             const UpdateRule& rule = all_rules[place.parameter];
                             if (!place.exists || rule.frozen) return;
                             Scalar& value = values[place.parameter][place.element];
                             T& moment = moments[place.parameter][place.element];
                             const T old = static_cast<T>(value),
                                     gradient = static_cast<T>(gradients[place.parameter][place.element]);
                             moment = keep * moment + static_cast<T>(rule.gradient_scale) *
                                                          (gradient + static_cast<T>(rule.weight_decay) * old);
                             value = static_cast<Scalar>(old - rate * moment);
                           });
  }

  template <class Scalar>
  static void adamw(const Device& device, std::span<const ParameterBlock> blocks,
                    std::span<const Parameter<Scalar>> parameters, std::span<const UpdateRule> rules,
                    Accumulator<Scalar>* const* first_moments, Accumulator<Scalar>* const* second_moments,
                    AdamDecay decay, double learning_rate, Workspace<Scalar>& w) {
    using T = Accumulator<Scalar>;
    const auto count = static_cast<Index>(parameters.size());
    w.copy(device, rules.data(), count, w.rules);
    w.copy(device, first_moments, count, w.first);
    w.copy(device, second_moments, count, w.second);
    const detail::ParameterPlaces places{w.blocks.data()};
    Scalar* const* const values = w.values.data();
    const Scalar* const* const gradients = w.gradients.data();
    T *const *const first = w.first.data(), *const *const second = w.second.data();
    const UpdateRule* const all_rules = w.rules.data();
    const T keep_first = static_cast<T>(decay.first), take_first = static_cast<T>(1 - decay.first);
    const T keep_second = static_cast<T>(decay.second), take_second = static_cast<T>(1 - decay.second);
    const T epsilon = static_cast<T>(decay.epsilon);
    detail::for_each_entry(device.policy(), static_cast<Index>(blocks.size()), optim_block_size,
                           [=] SWAV_HOST_DEVICE(Index block, Index i) {
                             const detail::PlaceInParameter place = places(block, i);
                             const UpdateRule& rule = all_rules[place.parameter];
                             if (!place.exists || rule.frozen) return;
                             Scalar& value = values[place.parameter][place.element];
                             T& mean = first[place.parameter][place.element];
                             T& square = second[place.parameter][place.element];
                             const T gradient = static_cast<T>(gradients[place.parameter][place.element]);
                             mean = keep_first * mean + take_first * gradient;
                             square = keep_second * square + take_second * gradient * gradient;
                             const T root = std::sqrt(square) * static_cast<T>(1 / rule.root_correction);
                             const T shrink = static_cast<T>(1 - learning_rate * rule.weight_decay);
                             value = static_cast<Scalar>(static_cast<T>(value) * shrink -
                                                         static_cast<T>(rule.step_size) * mean / (root + epsilon));
                           });
  }

  /// Part of squares; nvcc allows no lambdas of device code in private functions.
  template <class Scalar, class Pointer>
  static void sum_squares(const Device& device, Index blocks, const Pointer* tensors, Workspace<Scalar>& w) {
    using T = Accumulator<Scalar>;
    const detail::ParameterPlaces places{w.blocks.data()};
    const auto square = [=] SWAV_HOST_DEVICE(Index block, Index i) {
      const detail::PlaceInParameter place = places(block, i);
      if (!place.exists) return 0.0;
      const auto value = static_cast<double>(static_cast<T>(tensors[place.parameter][place.element]));
      return value * value;
    };
    detail::reduce_rows(device, blocks, optim_block_size, square, thrust::plus<double>(), w.sums.data());
  }
};

}  // namespace swav
