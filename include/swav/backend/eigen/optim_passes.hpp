// The optimisers' passes on the CPU. In: blocks of parameters. Out: see optim/passes.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "swav/backend/eigen/device.hpp"
#include "swav/optim/parameter.hpp"
#include "swav/optim/passes.hpp"

namespace swav {

namespace detail {

/// The sum of squares in double: no finite float overflows it. The lanes fix the order of the additions, whatever
/// vectors the compiler makes of them.
template <class Scalar>
[[nodiscard]] double sum_of_squares(const Scalar* values, Index count) {
  using T = Accumulator<Scalar>;
  constexpr Index lanes = 16;
  double sums[lanes] = {};
  Index i = 0;
  for (; i + lanes <= count; i += lanes)
    for (Index lane = 0; lane < lanes; ++lane) {
      const auto value = static_cast<double>(static_cast<T>(values[i + lane]));
      sums[lane] += value * value;
    }
  double total = 0;
  for (Index lane = 0; lane < lanes; ++lane) total += sums[lane];
  for (; i < count; ++i) {
    const auto value = static_cast<double>(static_cast<T>(values[i]));
    total += value * value;
  }
  return total;
}

}  // namespace detail

template <class Product>
struct OptimPasses<BasicEigenDevice<Product>> {
  using Device = BasicEigenDevice<Product>;

  template <class Scalar>
  struct Workspace {
    void load(const Device&, std::span<const ParameterBlock>, std::span<const Parameter<Scalar>>) {}
  };

  template <class T>
  static void clear(const Device& device, T* moments, Index count) {
    device.for_shares(count, [&](int, Index first, Index share) { std::fill_n(moments + first, share, T(0)); });
  }

  template <class Scalar>
  static void squares(const Device& device, std::span<const ParameterBlock> blocks,
                      std::span<const Parameter<Scalar>> parameters, double* of_values, double* of_gradients,
                      Workspace<Scalar>&) {
    for_blocks(device, blocks, [&](std::size_t b, const ParameterBlock& block, std::size_t p) {
      of_gradients[b] = detail::sum_of_squares(parameters[p].gradient.data + block.first, block.count);
      if (of_values != nullptr)
        of_values[b] = detail::sum_of_squares(parameters[p].value.data + block.first, block.count);
    });
  }

  template <class Scalar>
  static void sgd(const Device& device, std::span<const ParameterBlock> blocks,
                  std::span<const Parameter<Scalar>> parameters, std::span<const UpdateRule> rules,
                  Accumulator<Scalar>* const* momenta, double momentum, double learning_rate, Workspace<Scalar>&) {
    using T = Accumulator<Scalar>;
    for_blocks(device, blocks, [&](std::size_t, const ParameterBlock& block, std::size_t p) {
      if (rules[p].frozen) return;
      Scalar* __restrict value = parameters[p].value.data + block.first;
      const Scalar* __restrict gradient = parameters[p].gradient.data + block.first;
      T* __restrict momenta_of = momenta[p] + block.first;
      const T decay = static_cast<T>(rules[p].weight_decay), scale = static_cast<T>(rules[p].gradient_scale);
      const T keep = static_cast<T>(momentum), rate = static_cast<T>(learning_rate);
      for (Index i = 0; i < block.count; ++i) {
        const T old = static_cast<T>(value[i]);
        const T moved = keep * momenta_of[i] + scale * (static_cast<T>(gradient[i]) + decay * old);
        momenta_of[i] = moved;
        value[i] = static_cast<Scalar>(old - rate * moved);
      }
    });
  }

  template <class Scalar>
  static void adamw(const Device& device, std::span<const ParameterBlock> blocks,
                    std::span<const Parameter<Scalar>> parameters, std::span<const UpdateRule> rules,
                    Accumulator<Scalar>* const* first_moments, Accumulator<Scalar>* const* second_moments,
                    AdamDecay decay, double learning_rate, Workspace<Scalar>&) {
    using T = Accumulator<Scalar>;
    for_blocks(device, blocks, [&](std::size_t, const ParameterBlock& block, std::size_t p) {
      if (rules[p].frozen) return;
      Scalar* __restrict value = parameters[p].value.data + block.first;
      const Scalar* __restrict gradient = parameters[p].gradient.data + block.first;
      T* __restrict first = first_moments[p] + block.first;
      T* __restrict second = second_moments[p] + block.first;
      const T shrink = static_cast<T>(1 - learning_rate * rules[p].weight_decay);
      const T keep_first = static_cast<T>(decay.first), take_first = static_cast<T>(1 - decay.first);
      const T keep_second = static_cast<T>(decay.second), take_second = static_cast<T>(1 - decay.second);
      const T step_size = static_cast<T>(rules[p].step_size), epsilon = static_cast<T>(decay.epsilon);
      const T inverse_root = static_cast<T>(1 / rules[p].root_correction);
      // std::sqrt may set errno, which keeps a loop from being vectorised: the roots have a loop of their own.
      constexpr Index chunk = 256;
      T root[chunk];
      for (Index start = 0; start < block.count; start += chunk) {
        const Index count = std::min(chunk, block.count - start);
        for (Index i = 0; i < count; ++i) {
          const T g = static_cast<T>(gradient[start + i]);
          first[start + i] = keep_first * first[start + i] + take_first * g;
          second[start + i] = keep_second * second[start + i] + take_second * g * g;
          root[i] = second[start + i];
        }
        using std::sqrt;
        for (Index i = 0; i < count; ++i) root[i] = sqrt(root[i]);
        for (Index i = 0; i < count; ++i) {
          const T old = static_cast<T>(value[start + i]);
          value[start + i] =
              static_cast<Scalar>(old * shrink - step_size * first[start + i] / (root[i] * inverse_root + epsilon));
        }
      }
    });
  }

 private:
  template <class Body>
  static void for_blocks(const Device& device, std::span<const ParameterBlock> blocks, Body&& body) {
    device.for_shares(static_cast<Index>(blocks.size()), [&](int, Index first, Index count) {
      for (Index b = first; b < first + count; ++b) {
        const ParameterBlock& block = blocks[static_cast<std::size_t>(b)];
        body(static_cast<std::size_t>(b), block, static_cast<std::size_t>(block.parameter));
      }
    });
  }
};

}  // namespace swav
