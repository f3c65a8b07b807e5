// The convolutional part of a residual network at one resolution, on any engine (engine/dnnl_engine.hpp says what that
// is). In: planar float images, shared weights. Out: steps of a Program from images to pooled features and back.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/norm_parameters.hpp"
#include "engine/precision.hpp"
#include "model/weights.hpp"

namespace swav::resnet {

/// A convolution's and its batch norm's parameters, shared by all resolutions of one program.
template <class Engine>
struct UnitParameters {
  typename Engine::ConvolutionWeights convolution;
  NormParameters norm;
};

/// The parameters of every unit of a trunk, as one program uses them.
template <class Engine>
class TrunkParameters {
 public:
  /// `tensors`, of the engine's memory, outlive the program. Without `training`, gradients are not touched.
  TrunkParameters(const TrunkPlan& plan, std::vector<NamedTensor>& tensors, bool training) : plan_(plan) {
    const auto gradient = [&](NamedTensor& tensor) { return training ? tensor.gradient : std::span<float>(); };
    for_each_unit(plan, [&](const UnitPlan& unit) {
      NamedTensor& kernel = find_tensor(tensors, unit.convolution + ".weight");
      NormArrays norm = norm_arrays(tensors, unit.norm);
      if (!training) norm.grad_weight = norm.grad_bias = {};
      units_.push_back({typename Engine::ConvolutionWeights(unit.convolution, unit.out, unit.in, unit.kernel,
                                                            kernel.value, gradient(kernel)),
                        NormParameters(std::move(norm))});
    });
  }

  [[nodiscard]] const TrunkPlan& plan() const { return plan_; }
  /// Units in the order stem, then each block's units and its downsample.
  [[nodiscard]] UnitParameters<Engine>& operator[](std::size_t unit) { return units_[unit]; }

 private:
  TrunkPlan plan_;
  std::deque<UnitParameters<Engine>> units_;
};

/// Where a resolution's images come from and its features go to.
struct TrunkEnds {
  Buffer* images;    ///< images x channels x size x size, planar float
  Buffer* features;  ///< rows of plan.features floats, shared by all resolutions
  Index first_row;   ///< this resolution's first row there
};

template <class Engine>
class Trunk {
  using EngineProgram = typename Engine::Program;
  using Layout = typename Engine::Layout;
  using BatchNorm = typename Engine::BatchNorm;
  using Joined = JoinedBranch<BatchNorm>;

 public:
  enum class Mode { training, evaluation };

  /// Adds the forward steps. In evaluation the weights' conversion and the running statistics go to Section::prepare.
  Trunk(EngineProgram& program, TrunkParameters<Engine>& parameters, ImageGroup group, Precision precision, Mode mode,
        TrunkEnds ends);
  /// Adds the backward steps, from the gradient of the features (the same shape as them).
  void backward(EngineProgram& program, Buffer* grad_features);

 private:
  /// One unit at this resolution: its convolution, its norm and the activations kept for the backward pass.
  struct Unit {
    Unit(EngineProgram& program, UnitParameters<Engine>& parameters, const Layout& input, Index stride,
         Precision precision)
        : convolution(parameters.convolution, input, stride, precision),
          norm(program, parameters.norm, convolution.output(), precision) {}
    typename Engine::Convolution convolution;
    BatchNorm norm;
    Buffer* convolved = nullptr;
  };
  struct Block {
    std::vector<Unit*> units;
    Unit* downsample = nullptr;
    Layout input_layout;
    Buffer* input = nullptr;
    Buffer* output = nullptr;
  };

  void convolve(EngineProgram& program, Unit& unit, Buffer* input);
  Buffer* activation(EngineProgram& program, const Layout& layout) const {
    return program.buffer(layout.bytes(precision_));
  }

  Precision precision_;
  Mode mode_;
  TrunkEnds ends_;
  std::deque<Unit> units_;
  Unit* stem_ = nullptr;
  Buffer* stem_output_ = nullptr;
  std::unique_ptr<typename Engine::MaxPooling> max_pooling_;
  std::vector<Block> blocks_;
};

template <class Engine>
void Trunk<Engine>::convolve(EngineProgram& program, Unit& unit, Buffer* input) {
  const bool training = mode_ == Mode::training;
  const Section weights = training ? Section::forward : Section::prepare;
  unit.convolved = activation(program, unit.convolution.output());
  if (input == ends_.images)
    unit.convolution.forward_from_images(program, weights, input, unit.convolved);
  else
    unit.convolution.forward(program, weights, input, unit.convolved);
  if (training)
    unit.norm.statistics(program, unit.convolved);
  else
    unit.norm.running_statistics(program);
}

template <class Engine>
Trunk<Engine>::Trunk(EngineProgram& program, TrunkParameters<Engine>& parameters, ImageGroup group, Precision precision,
                     Mode mode, TrunkEnds ends)
    : precision_(precision), mode_(mode), ends_(ends) {
  const TrunkPlan& plan = parameters.plan();
  std::size_t next = 0;
  const auto add_unit = [&](const Layout& input, Index stride) {
    return &units_.emplace_back(program, parameters[next++], input, stride, precision);
  };
  stem_ = add_unit(Engine::first_layout(program, precision, group.images, plan.stem.in, group.size, plan.stem.out),
                   plan.stem.stride);
  convolve(program, *stem_, ends_.images);
  Layout layout = stem_->convolution.output();
  stem_output_ = activation(program, layout);
  stem_->norm.relu(program, stem_->convolved, {}, stem_output_);
  Buffer* current = stem_output_;
  if (plan.max_pool) {
    max_pooling_ = std::make_unique<typename Engine::MaxPooling>(layout, precision);
    layout = max_pooling_->output();
    Buffer* pooled = activation(program, layout);
    max_pooling_->forward(program, current, pooled);
    current = pooled;
  }
  for (const BlockPlan& planned : plan.blocks) {
    Block block;
    block.input_layout = layout;
    block.input = current;
    for (const UnitPlan& unit : planned.units) {
      block.units.push_back(add_unit(layout, unit.stride));
      layout = block.units.back()->convolution.output();
    }
    if (planned.downsample) block.downsample = add_unit(block.input_layout, planned.downsample->stride);

    for (Unit* unit : block.units) {
      convolve(program, *unit, current);
      if (unit == block.units.back()) break;
      current = activation(program, unit->convolution.output());
      unit->norm.relu(program, unit->convolved, {}, current);
    }
    Joined joined{block.input, nullptr};
    if (block.downsample != nullptr) {
      convolve(program, *block.downsample, block.input);
      joined = {block.downsample->convolved, &block.downsample->norm};
    }
    current = block.output = activation(program, layout);
    block.units.back()->norm.relu(program, block.units.back()->convolved, joined, block.output);
    blocks_.push_back(std::move(block));
  }
  typename Engine::GlobalPooling(program, layout, precision).forward(program, current, ends.features, ends.first_row);
}

template <class Engine>
void Trunk<Engine>::backward(EngineProgram& program, Buffer* grad_features) {
  const Layout last = blocks_.back().units.back()->convolution.output();
  Buffer* grad = activation(program, last);
  Buffer* grad2 = nullptr;
  typename Engine::GlobalPooling(program, last, precision_).backward(program, grad_features, ends_.first_row, grad);
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
    Unit* tail = block->units.back();
    const Joined joined = block->downsample != nullptr ? Joined{block->downsample->convolved, &block->downsample->norm}
                                                       : Joined{block->input, nullptr};
    Buffer* branch = activation(program, tail->convolution.output());
    tail->norm.backward_joined(program, {tail->convolved, joined, block->output, grad, grad2, branch});
    for (std::size_t u = block->units.size(); u-- > 0;) {
      Unit* unit = block->units[u];
      unit->convolution.backward_weights(program, branch);
      const Layout& below = u > 0 ? block->units[u - 1]->convolution.output() : block->input_layout;
      Buffer* grad_input = activation(program, below);
      unit->convolution.backward_data(program, branch, grad_input);
      if (u > 0) block->units[u - 1]->norm.backward(program, block->units[u - 1]->convolved, grad_input, grad_input);
      branch = grad_input;
    }
    if (block->downsample != nullptr) {
      block->downsample->convolution.backward_weights(program, grad);
      Buffer* grad_input = activation(program, block->input_layout);
      block->downsample->convolution.backward_data(program, grad, grad_input);
      grad = grad_input;
    }
    grad2 = branch;
  }
  const Layout stem_layout = stem_->convolution.output();
  if (max_pooling_ != nullptr) {
    typename Engine::GlobalPooling(program, max_pooling_->output(), precision_).add_gradients(program, grad, grad2);
    Buffer* grad_stem = activation(program, stem_layout);
    max_pooling_->backward(program, grad, grad_stem);
    stem_->norm.backward(program, stem_->convolved, grad_stem, grad_stem);
    stem_->convolution.backward_weights(program, grad_stem);
  } else {
    Buffer* dx = activation(program, stem_layout);
    stem_->norm.backward_joined(program, {stem_->convolved, {}, stem_output_, grad, grad2, dx});
    stem_->convolution.backward_weights(program, dx);
  }
}

}  // namespace swav::resnet
