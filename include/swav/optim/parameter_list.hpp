// The parameters of an optimiser, checked and cut into blocks. In: the caller's Parameter list. Out: blocks, norms,
// moments and named state, which Sgd and AdamW share.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "swav/core/scalar_traits.hpp"
#include "swav/optim/parameter.hpp"
#include "swav/optim/passes.hpp"

namespace swav::detail {

/// Checked in the constructor: at least one parameter, none empty, gradients as long as values, names distinct. Sums
/// are made by block in a fixed order, so that a step is the same for any number of threads.
template <class Scalar, class Device, class Gradient = Scalar>
class ParameterList {
 public:
  using Moment = Accumulator<Scalar>;

  ParameterList(std::vector<Parameter<Scalar, Gradient>> parameters, const Device& device)
      : parameters_(std::move(parameters)) {
    require(!parameters_.empty(), "parameters: an empty list found, at least one parameter wanted");
    std::unordered_set<std::string> names;
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      const Parameter<Scalar, Gradient>& parameter = parameters_[p];
      require(parameter.value.size > 0 && parameter.value.data != nullptr, "parameters: '", parameter.name, "' has ",
              parameter.value.size, " elements, 1 or more wanted");
      require(parameter.gradient.size == parameter.value.size && parameter.gradient.data != nullptr, "parameters: '",
              parameter.name, "' has a gradient of ", parameter.gradient.size, " elements, its value's ",
              parameter.value.size, " wanted");
      require(parameter.rounded.size == 0 || (StepsAlone<Device> && parameter.rounded.size == parameter.value.size),
              "parameters: '", parameter.name, "' has ", parameter.rounded.size, " rounded elements, ",
              StepsAlone<Device> ? parameter.value.size : 0, " wanted");
      require(parameter.frozen_steps >= 0, "parameters: '", parameter.name, "' has frozen_steps ",
              parameter.frozen_steps, ", 0 or more wanted");
      require(names.insert(parameter.name).second, "parameters: the name '", parameter.name,
              "' found twice, distinct names wanted");
      for (Index first = 0; first < parameter.value.size; first += optim_block_size)
        blocks_.push_back({static_cast<Index>(p), first, std::min(optim_block_size, parameter.value.size - first)});
    }
    rules.resize(parameters_.size());
    value_norms.resize(parameters_.size());
    gradient_norms.resize(parameters_.size());
    value_sums_.resize(blocks_.size());
    gradient_sums_.resize(blocks_.size());
    workspace.load(device, blocks(), this->parameters());
  }

  [[nodiscard]] std::span<const Parameter<Scalar, Gradient>> parameters() const { return parameters_; }
  [[nodiscard]] std::span<const ParameterBlock> blocks() const { return blocks_; }
  [[nodiscard]] bool frozen(std::size_t p, Index step) const { return step < parameters_[p].frozen_steps; }

  /// The moments of every parameter in `storage`, zeroed; one pointer a parameter.
  std::vector<Moment*> make_moments(const Device& device, typename Device::template Buffer<Moment>& storage) const {
    constexpr Index line = 16;  // keeps each parameter's moments on cache lines of their own
    Index total = 0;
    std::vector<Index> offsets;
    for (const Parameter<Scalar, Gradient>& parameter : parameters_) {
      offsets.push_back(total);
      total += (parameter.value.size + line - 1) / line * line;
    }
    Moment* base = storage.reserve(total);
    OptimPasses<Device>::clear(device, base, total);
    std::vector<Moment*> moments;
    for (const Index offset : offsets) moments.push_back(base + offset);
    return moments;
  }

  /// Appends each parameter's part of `moments` to `state`, called "<parameter's name>.<moment>".
  void append_state(const std::string& moment, const std::vector<Moment*>& moments,
                    std::vector<StateBuffer<Moment>>& state) const {
    for (std::size_t p = 0; p < parameters_.size(); ++p)
      state.push_back({parameters_[p].name + "." + moment, {moments[p], parameters_[p].value.size}});
  }

  /// Fills gradient_norms, and value_norms if asked for; returns the norm over all gradients that are not dropped in
  /// this step. Throws InvalidInput, before anything is changed, if such a gradient (or a value asked for) is not
  /// finite.
  double measure(const Device& device, Index step, bool with_values) {
    OptimPasses<Device>::squares(device, blocks(), parameters(), with_values ? value_sums_.data() : nullptr,
                                 gradient_sums_.data(), workspace);
    std::fill(value_norms.begin(), value_norms.end(), 0.0);
    std::fill(gradient_norms.begin(), gradient_norms.end(), 0.0);
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      const auto p = static_cast<std::size_t>(blocks_[b].parameter);
      gradient_norms[p] += gradient_sums_[b];
      if (with_values) value_norms[p] += value_sums_[b];
    }
    double total = 0;
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      if (frozen(p, step)) continue;
      require(std::isfinite(gradient_norms[p]), "gradient of '", parameters_[p].name,
              "': a value that is not finite found, finite values wanted");
      require(std::isfinite(value_norms[p]), "value of '", parameters_[p].name,
              "': a value that is not finite found, finite values wanted");
      total += gradient_norms[p];
      gradient_norms[p] = std::sqrt(gradient_norms[p]);
      value_norms[p] = std::sqrt(value_norms[p]);
    }
    return std::sqrt(total);
  }

  typename OptimWorkspaceOf<Device, Scalar, Gradient>::type workspace;
  std::vector<UpdateRule> rules;       ///< one a parameter, set by the optimiser before each update
  std::vector<double> value_norms;     ///< one a parameter, by measure()
  std::vector<double> gradient_norms;  ///< one a parameter, by measure()

 private:
  std::vector<Parameter<Scalar, Gradient>> parameters_;
  std::vector<ParameterBlock> blocks_;
  std::vector<double> value_sums_;
  std::vector<double> gradient_sums_;
};

}  // namespace swav::detail
