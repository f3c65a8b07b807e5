// Batch norm: the small per-channel arithmetic between the passes. In: sums of a pass. Out: the next pass's
// coefficients, parameter gradients and running statistics.
#include "engine/batch_norm.hpp"

#include <algorithm>
#include <cmath>

namespace swav::resnet {
namespace {

std::size_t scratch_bytes(const ChannelLayout& layout, int threads) {
  return static_cast<std::size_t>(partial_count(layout, threads)) * sizeof(double);
}

// From the moments of each rank's batch to those of all. In double, squares about 0 are as good as the floats that they
// are of.
void join_moments(const RankGroup& ranks, Index channels, double* mean, double* variance) {
  if (ranks.size() == 1) return;
  const double share = 1.0 / ranks.size();
  for (Index c = 0; c < channels; ++c) variance[c] += mean[c] * mean[c];
  ranks.sum(mean, 2 * channels);  // the variances are next to the means
  for (Index c = 0; c < channels; ++c) {
    mean[c] *= share;
    variance[c] = std::max(0.0, variance[c] * share - mean[c] * mean[c]);
  }
}

}  // namespace

BatchNorm::BatchNorm(const DnnlProgram& program, NormParameters& parameters, ChannelLayout layout, Precision precision)
    : parameters_(parameters), layout_(layout), precision_(precision), threads_(program.threads()) {
  const auto channels = static_cast<std::size_t>(layout.padded_channels());
  for (auto* values : {&mean_, &inverse_deviation_, &scale_, &shift_, &a_, &b_, &c_}) values->assign(channels, 0.0f);
  sums_.assign(3 * channels, 0.0);
}

void BatchNorm::set_affine(const double* mean, const double* variance) {
  const NormArrays& arrays = parameters_.arrays();
  for (std::size_t c = 0; c < arrays.weight.size(); ++c) {
    const double inverse = 1.0 / std::sqrt(variance[c] + NormArrays::epsilon);
    const double scale = static_cast<double>(arrays.weight[c]) * inverse;
    mean_[c] = static_cast<float>(mean[c]);
    inverse_deviation_[c] = static_cast<float>(inverse);
    scale_[c] = static_cast<float>(scale);
    shift_[c] = static_cast<float>(static_cast<double>(arrays.bias[c]) - mean[c] * scale);
  }
}

double BatchNorm::count(const RankGroup& ranks) const {
  return static_cast<double>(layout_.images * layout_.pixels()) * ranks.size();
}

void BatchNorm::statistics(Program& program, Buffer* x) {
  Buffer* scratch = program.buffer(scratch_bytes(layout_, threads_));
  const RankGroup ranks = program.ranks();
  program.add(Section::forward, parameters_.arrays().name + " statistics", {x, scratch}, [this, x, scratch, ranks] {
    double* mean = sums_.data();
    double* variance = mean + layout_.padded_channels();
    batch_moments(layout_, precision_, x->data(), threads_, scratch->as<double>(), mean, variance);
    join_moments(ranks, layout_.padded_channels(), mean, variance);
    set_affine(mean, variance);
    const double values = count(ranks);
    const NormArrays& arrays = parameters_.arrays();
    const auto move = [](float& running, double batch) {
      running = static_cast<float>((1.0 - NormArrays::momentum) * static_cast<double>(running) +
                                   NormArrays::momentum * batch);
    };
    for (std::size_t c = 0; c < arrays.weight.size(); ++c) {
      move(arrays.running_mean[c], mean[c]);
      move(arrays.running_variance[c], variance[c] * values / (values - 1.0));
    }
  });
}

void BatchNorm::running_statistics(Program& program) {
  program.add(Section::prepare, parameters_.arrays().name + " statistics", {}, [this] {
    const NormArrays& arrays = parameters_.arrays();
    for (std::size_t c = 0; c < arrays.weight.size(); ++c) {
      sums_[c] = static_cast<double>(arrays.running_mean[c]);
      sums_[arrays.weight.size() + c] = static_cast<double>(arrays.running_variance[c]);
    }
    set_affine(sums_.data(), sums_.data() + arrays.weight.size());
  });
}

void BatchNorm::relu(Program& program, Buffer* x, Joined joined, Buffer* output) {
  const std::string name = parameters_.arrays().name + " relu";
  if (joined.activation == nullptr) {
    program.add(Section::forward, name, {x, output}, [this, x, output] {
      normalize_relu(layout_, precision_, x->data(), affine(), {}, output->data(), threads_);
    });
    return;
  }
  program.add(Section::forward, name, {x, joined.activation, output}, [this, x, joined, output] {
    Shortcut shortcut{joined.activation->data()};
    if (joined.norm != nullptr) shortcut.affine = joined.norm->affine();
    normalize_relu(layout_, precision_, x->data(), affine(), shortcut, output->data(), threads_);
  });
}

// Of this rank's images, as every other parameter's.
void BatchNorm::store_gradient(const double* sum_gradient, const double* sum_product, bool adds) {
  const NormArrays& arrays = parameters_.arrays();
  for (std::size_t c = 0; c < arrays.weight.size(); ++c) {
    const float grad_weight = static_cast<float>(sum_product[c] * static_cast<double>(inverse_deviation_[c]));
    const float grad_bias = static_cast<float>(sum_gradient[c]);
    arrays.grad_weight[c] = adds ? arrays.grad_weight[c] + grad_weight : grad_weight;
    arrays.grad_bias[c] = adds ? arrays.grad_bias[c] + grad_bias : grad_bias;
  }
}

// From the sums of all ranks. With x^ = (x - mean) / s: dx = (gamma / s) (g - mean(g) - x^ mean(g x^)), written as
// a g + b x + c.
void BatchNorm::set_gradient_map(const double* sum_gradient, const double* sum_product, const RankGroup& ranks) {
  const NormArrays& arrays = parameters_.arrays();
  const double values = count(ranks);
  for (std::size_t c = 0; c < arrays.weight.size(); ++c) {
    const double inverse = static_cast<double>(inverse_deviation_[c]);
    const double a = static_cast<double>(arrays.weight[c]) * inverse;
    const double b = -a * inverse * inverse * sum_product[c] / values;
    a_[c] = static_cast<float>(a);
    b_[c] = static_cast<float>(b);
    c_[c] = static_cast<float>(-a * sum_gradient[c] / values - b * static_cast<double>(mean_[c]));
  }
}

void BatchNorm::backward(Program& program, Buffer* x, Buffer* grad_output, Buffer* dx) {
  const std::string& name = parameters_.arrays().name;
  Buffer* scratch = program.buffer(scratch_bytes(layout_, threads_));
  const bool adds = parameters_.next_gradient_adds();
  const RankGroup ranks = program.ranks();
  program.add(Section::backward, name + " reduce", {x, grad_output, scratch}, [=, this] {
    double* sum_gradient = sums_.data();
    double* sum_product = sum_gradient + layout_.padded_channels();
    reduce_gradient(layout_, precision_,
                    {.grad = grad_output->data(), .x = x->data(), .mean = mean_.data(), .affine = affine()}, threads_,
                    scratch->as<double>(), sum_gradient, sum_product, nullptr);
    store_gradient(sum_gradient, sum_product, adds);
    ranks.sum(sum_gradient, 2 * layout_.padded_channels());
    set_gradient_map(sum_gradient, sum_product, ranks);
  });
  program.add(Section::backward, name + " apply", {x, grad_output, dx}, [this, x, grad_output, dx] {
    const ChannelAffine gate = affine();
    apply_gradient(layout_, precision_, grad_output->data(), x->data(), gradient_map(), &gate, dx->data(), threads_);
  });
}

void BatchNorm::backward_joined(Program& program, const JoinedBackward& buffers) {
  const std::string& name = parameters_.arrays().name;
  Buffer* scratch = program.buffer(scratch_bytes(layout_, threads_));
  Buffer *const x = buffers.x, *const output = buffers.output, *const dx = buffers.dx;
  Buffer *const grad = buffers.grad_output, *const grad2 = buffers.grad_output2;
  BatchNorm* const norm2 = buffers.joined.norm;
  Buffer* const x2 = norm2 != nullptr ? buffers.joined.activation : x;
  const bool adds = parameters_.next_gradient_adds();
  const RankGroup ranks = program.ranks();
  const bool adds2 = norm2 != nullptr && norm2->parameters_.next_gradient_adds();
  program.add(Section::backward, name + " reduce", {x, x2, output, grad, grad2 != nullptr ? grad2 : grad, scratch},
              [=, this] {
                double* sum_gradient = sums_.data();
                double* sum_product = sum_gradient + layout_.padded_channels();
                double* sum_product2 = sum_product + layout_.padded_channels();
                NormReduction pass{.grad = grad->data(),
                                   .grad2 = grad2 != nullptr ? grad2->data() : nullptr,
                                   .output = output->data(),
                                   .gated = grad->data(),
                                   .x = x->data(),
                                   .mean = mean_.data()};
                if (norm2 != nullptr) {
                  pass.x2 = x2->data();
                  pass.mean2 = norm2->mean_.data();
                }
                reduce_gradient(layout_, precision_, pass, threads_, scratch->as<double>(), sum_gradient, sum_product,
                                sum_product2);
                store_gradient(sum_gradient, sum_product, adds);
                if (norm2 != nullptr) norm2->store_gradient(sum_gradient, sum_product2, adds2);
                ranks.sum(sum_gradient, (norm2 != nullptr ? 3 : 2) * layout_.padded_channels());
                set_gradient_map(sum_gradient, sum_product, ranks);
                if (norm2 != nullptr) norm2->set_gradient_map(sum_gradient, sum_product2, ranks);
              });
  if (norm2 == nullptr) {
    program.add(Section::backward, name + " apply", {x, grad, dx}, [this, x, grad, dx] {
      apply_gradient(layout_, precision_, grad->data(), x->data(), gradient_map(), nullptr, dx->data(), threads_);
    });
  } else {
    program.add(Section::backward, name + " apply", {x, x2, grad, dx}, [=, this] {
      apply_gradient_twice(layout_, precision_, grad->data(), x->data(), gradient_map(), dx->data(), x2->data(),
                           norm2->gradient_map(), grad->data(), threads_);
    });
  }
}

}  // namespace swav::resnet
