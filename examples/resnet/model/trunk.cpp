// Strings the layers of a residual network together. In: plans and parameters. Out: steps.
#include "model/trunk.hpp"

namespace swav::resnet {
namespace {

std::size_t bytes(const ChannelLayout& layout, Precision precision) { return layout.desc(precision).get_size(); }

}  // namespace

TrunkParameters::TrunkParameters(const TrunkPlan& plan, Weights& weights, bool training) : plan_(plan) {
  const auto gradient = [&](NamedTensor& tensor) { return training ? tensor.gradient : std::span<float>(); };
  for_each_unit(plan, [&](const UnitPlan& unit) {
    NamedTensor& kernel = weights[unit.convolution + ".weight"];
    NamedTensor& scale = weights[unit.norm + ".weight"];
    NamedTensor& shift = weights[unit.norm + ".bias"];
    units_.push_back(
        {ConvolutionWeights(unit.convolution, unit.out, unit.in, unit.kernel, kernel.value, gradient(kernel)),
         NormParameters({unit.norm, scale.value, shift.value, weights[unit.norm + ".running_mean"].value,
                         weights[unit.norm + ".running_var"].value, gradient(scale), gradient(shift)})});
  });
}

Buffer* Trunk::activation(Program& program, const ChannelLayout& layout) const {
  return program.buffer(bytes(layout, precision_));
}

void Trunk::convolve(Program& program, Unit& unit, Buffer* input) {
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

Trunk::Trunk(Program& program, TrunkParameters& parameters, ImageGroup group, Precision precision, Mode mode,
             TrunkEnds ends)
    : precision_(precision), mode_(mode), ends_(ends) {
  const TrunkPlan& plan = parameters.plan();
  const Blocking blocking = preferred_blocking(program.engine(), precision, plan.stem.out);
  std::size_t next = 0;
  const auto add_unit = [&](const ChannelLayout& input, Index stride) {
    return &units_.emplace_back(parameters[next++], input, stride, precision, program.threads());
  };
  stem_ = add_unit({group.images, plan.stem.in, group.size, blocking}, plan.stem.stride);
  convolve(program, *stem_, ends_.images);
  ChannelLayout layout = stem_->convolution.output();
  stem_output_ = activation(program, layout);
  stem_->norm.relu(program, stem_->convolved, {}, stem_output_);
  Buffer* current = stem_output_;
  if (plan.max_pool) {
    max_pooling_ = std::make_unique<MaxPooling>(layout, precision);
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
    BatchNorm::Joined joined{block.input, nullptr};
    if (block.downsample != nullptr) {
      convolve(program, *block.downsample, block.input);
      joined = {block.downsample->convolved, &block.downsample->norm};
    }
    current = block.output = activation(program, layout);
    block.units.back()->norm.relu(program, block.units.back()->convolved, joined, block.output);
    blocks_.push_back(std::move(block));
  }
  program.add(Section::forward, "pooling", {current, ends_.features},
              [=, threads = program.threads(), features = plan.features] {
                const MatrixView<float> all(ends.features->as<float>(), ends.first_row + layout.images, features);
                average_pixels(layout, precision, current->data(), all.middle_rows(ends.first_row, layout.images),
                               threads);
              });
}

void Trunk::backward(Program& program, Buffer* grad_features) {
  const ChannelLayout last = blocks_.back().units.back()->convolution.output();
  Buffer* grad = activation(program, last);
  Buffer* grad2 = nullptr;
  program.add(Section::backward, "pooling", {grad_features, grad},
              [=, threads = program.threads(), precision = precision_, first = ends_.first_row] {
                const MatrixView<const float> all(grad_features->as<float>(), first + last.images, last.channels);
                spread_gradient(last, precision, all.middle_rows(first, last.images), grad->data(), threads);
              });
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
    Unit* tail = block->units.back();
    const BatchNorm::Joined joined = block->downsample != nullptr
                                         ? BatchNorm::Joined{block->downsample->convolved, &block->downsample->norm}
                                         : BatchNorm::Joined{block->input, nullptr};
    Buffer* branch = activation(program, tail->convolution.output());
    tail->norm.backward_joined(program, {tail->convolved, joined, block->output, grad, grad2, branch});
    for (std::size_t u = block->units.size(); u-- > 0;) {
      Unit* unit = block->units[u];
      unit->convolution.backward_weights(program, branch);
      const ChannelLayout& below = u > 0 ? block->units[u - 1]->convolution.output() : block->input_layout;
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
  const ChannelLayout stem_layout = stem_->convolution.output();
  if (max_pooling_ != nullptr) {
    const ChannelLayout pooled = max_pooling_->output();
    program.add(Section::backward, "sum of gradients", {grad, grad2},
                [=, precision = precision_, threads = program.threads()] {
                  add_gradients(pooled, precision, grad->data(), grad2->data(), grad->data(), threads);
                });
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
