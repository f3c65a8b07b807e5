// An optimiser's step on the GPU: two launches over all parameters, not waited for. In: parameters and gradients in the
// GPU's memory. Out: updated parameters and moments there.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/optim_kernels.cuh"
#include "swav/backend/cuda/scalar.cuh"
#include "swav/optim/parameter.hpp"
#include "swav/optim/passes.hpp"

namespace swav {

template <>
struct OptimPasses<CudaDevice> {
  using StepsAlone = void;

  /// The tables of tensors and blocks, and what a step leaves for its second launch.
  template <class Scalar, class Gradient>
  struct Workspace {
    using T = Accumulator<Scalar>;
    using Tensor = detail::OptimTensor<Scalar, Gradient>;

    void load(const CudaDevice&, std::span<const ParameterBlock>, std::span<const Parameter<Scalar, Gradient>>) {}

    void start(const CudaDevice& device, std::span<const ParameterBlock> block_list,
               std::span<const Parameter<Scalar, Gradient>> parameters, const std::vector<T*>& first,
               const std::vector<T*>& second) {
      std::vector<Tensor> list;
      for (std::size_t p = 0; p < parameters.size(); ++p) {
        const Parameter<Scalar, Gradient>& parameter = parameters[p];
        Tensor tensor{};
        tensor.value = parameter.value.data;
        tensor.gradient = parameter.gradient.data;
        tensor.rounded = parameter.rounded.data;
        tensor.first = first[p];
        tensor.second = second.empty() ? nullptr : second[p];
        tensor.frozen_steps = parameter.frozen_steps;
        tensor.decays = parameter.decays;
        tensor.adapts = parameter.adapts;
        const auto packed = [](const auto* data) {
          return reinterpret_cast<std::uintptr_t>(data) % (Tensor::Width * sizeof(*data)) == 0;
        };
        tensor.packed = packed(tensor.value) && packed(tensor.gradient) && packed(tensor.rounded) &&
                        packed(tensor.first) && packed(tensor.second);
        list.push_back(tensor);
      }
      for (std::size_t b = 0; b < block_list.size(); ++b) {
        Tensor& tensor = list[static_cast<std::size_t>(block_list[b].parameter)];
        if (tensor.blocks++ == 0) tensor.first_block = static_cast<Index>(b);
      }
      block_count = static_cast<Index>(block_list.size());
      const auto tensor_count = static_cast<Index>(list.size());
      detail::upload(device, list.data(), tensor_count, tensors.reserve(tensor_count));
      detail::upload(device, block_list.data(), block_count, blocks.reserve(block_count));
      value_sums.reserve(block_count);
      gradient_sums.reserve(block_count);
      const detail::OptimState none{};
      detail::upload(device, &none, 1, state.reserve(1));
    }

    Index block_count = 0;
    CudaBuffer<Tensor> tensors;
    CudaBuffer<ParameterBlock> blocks;
    CudaBuffer<double> value_sums, gradient_sums;
    CudaBuffer<detail::OptimState> state;
  };

  template <class T>
  static void clear(const CudaDevice& device, T* moments, Index count) {
    detail::check_cuda(cudaMemsetAsync(moments, 0, static_cast<std::size_t>(count) * sizeof(T), device.stream()),
                       "cudaMemsetAsync");
  }

  template <class Scalar, class Gradient>
  static void sgd_step(const CudaDevice& device, const SgdRates& rates, double momentum, const StepRate& rate,
                       Workspace<Scalar, Gradient>& w, CudaValue<double>& norm) {
    const auto call = begin(device, rate, rates.adaptation != SgdRates::Adaptation::none, w, norm);
    detail::launch(device, w.block_count, detail::optim_threads, detail::update_by_sgd<Scalar, Gradient>, call, rates,
                   momentum);
  }

  template <class Scalar, class Gradient>
  static void adamw_step(const CudaDevice& device, const AdamDecay& decay, double weight_decay, const StepRate& rate,
                         Workspace<Scalar, Gradient>& w, CudaValue<double>& norm) {
    const auto call = begin(device, rate, false, w, norm);
    detail::launch(device, w.block_count, detail::optim_threads, detail::update_by_adamw<Scalar, Gradient>, call, decay,
                   weight_decay);
  }

  template <class Scalar, class Gradient>
  static Index steps(const CudaDevice& device, const Workspace<Scalar, Gradient>& w) {
    Index steps = 0;
    detail::download(device, &w.state.data()->steps, 1, &steps);
    return steps;
  }
  template <class Scalar, class Gradient>
  static void set_steps(const CudaDevice& device, Index steps, Workspace<Scalar, Gradient>& w) {
    detail::upload(device, &steps, 1, &w.state.data()->steps);
  }

 private:
  template <class Scalar, class Gradient>
  static detail::OptimCall<Scalar, Gradient> begin(const CudaDevice& device, const StepRate& rate, bool with_values,
                                                   Workspace<Scalar, Gradient>& w, CudaValue<double>& norm) {
    const detail::OptimCall<Scalar, Gradient> call{
        w.tensors.data(),       w.blocks.data(),  w.block_count, w.value_sums.data(),
        w.gradient_sums.data(), w.state.data(),   rate,          with_values,
        device.faults(),        norm.slot(device)};
    detail::launch(device, w.block_count, detail::optim_threads, detail::sum_optim_squares<Scalar, Gradient>, call);
    return call;
  }
};

}  // namespace swav
