// Storage and initial values of a network's tensors. In: layer plans. Out: NamedTensors.
#include "model/weights.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "swav/core/error.hpp"
#include "swav/core/philox.hpp"

namespace swav::resnet {
namespace {

/// Names the streams of random numbers, so that they never meet those of crops or prototypes under the same seed.
constexpr std::uint64_t stream_family = 0x726573'6E657400ull << 8;

bool ends_with(const std::string& text, const char* end) { return std::string_view(text).ends_with(end); }

Index count(const std::vector<Index>& shape) {
  Index product = 1;
  for (Index extent : shape) product *= extent;
  return product;
}

/// Box-Muller, both of each pair used.
void fill_normal(std::span<float> values, double deviation, PhiloxStream& random) {
  for (std::size_t i = 0; i < values.size(); i += 2) {
    const double radius = deviation * std::sqrt(-2.0 * std::log(1.0 - random.uniform()));
    const double angle = 2.0 * std::numbers::pi * random.uniform();
    values[i] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < values.size()) values[i + 1] = static_cast<float>(radius * std::sin(angle));
  }
}

void fill_uniform(std::span<float> values, double bound, PhiloxStream& random) {
  for (float& value : values) value = static_cast<float>(random.uniform(-bound, bound));
}

}  // namespace

Weights::Weights(const Architecture& architecture, const TrunkPlan& plan, std::uint64_t seed) {
  for_each_unit(plan, [&](const UnitPlan& unit) {
    add(unit.convolution + ".weight", {unit.out, unit.in, unit.kernel, unit.kernel}, true);
    add_norm(unit.norm, unit.out);
  });
  if (architecture.head) {
    add_linear("projection_head.0", architecture.head_hidden, plan.features);
    add_norm("projection_head.1", architecture.head_hidden);
    add_linear("projection_head.3", architecture.embedding, architecture.head_hidden);
  }
  allocate();
  initialise(seed);
}

NamedTensor& find_tensor(std::vector<NamedTensor>& tensors, const std::string& name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const NamedTensor& tensor) { return tensor.name == name; });
  detail::require(found != tensors.end(), "weights: no tensor named ", name);
  return *found;
}

NormArrays norm_arrays(std::vector<NamedTensor>& tensors, const std::string& name) {
  const NamedTensor &scale = find_tensor(tensors, name + ".weight"), &shift = find_tensor(tensors, name + ".bias");
  return {.name = name,
          .weight = scale.value,
          .bias = shift.value,
          .running_mean = find_tensor(tensors, name + ".running_mean").value,
          .running_variance = find_tensor(tensors, name + ".running_var").value,
          .grad_weight = scale.gradient,
          .grad_bias = shift.gradient};
}

void Weights::add(std::string name, std::vector<Index> shape, bool decays) {
  tensors_.push_back(
      {.name = std::move(name), .shape = std::move(shape), .value = {}, .gradient = {}, .decays = decays});
}

void Weights::add_norm(const std::string& name, Index channels) {
  for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) add(name + part, {channels}, false);
}

void Weights::add_linear(const std::string& name, Index out, Index in) {
  add(name + ".weight", {out, in}, true);
  add(name + ".bias", {out}, false);
}

void Weights::allocate() {
  const auto padded = [](Index size) { return (size + 15) / 16 * 16; };  // every tensor on its own cache line
  const auto has_gradient = [](const NamedTensor& t) { return t.name.find(".running_") == std::string::npos; };
  Index total = 0;
  for (const NamedTensor& t : tensors_) total += padded(count(t.shape)) * (has_gradient(t) ? 2 : 1);
  size_ = static_cast<std::size_t>(total);
  storage_.reset(static_cast<float*>(::operator new (size_ * sizeof(float), std::align_val_t{64})));
  std::fill_n(storage_.get(), size_, 0.0f);
  float* next = storage_.get();
  const auto place = [&](const NamedTensor& t) {
    const Index size = count(t.shape);
    return std::span<float>(std::exchange(next, next + padded(size)), static_cast<std::size_t>(size));
  };
  for (NamedTensor& t : tensors_)
    if (has_gradient(t)) t.gradient = place(t);
  gradients_ = {storage_.get(), next};
  for (NamedTensor& t : tensors_) t.value = place(t);
}

void Weights::initialise(std::uint64_t seed) {
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    NamedTensor& t = tensors_[i];
    PhiloxStream random(seed, stream_family + i);
    if (t.shape.size() == 4) {
      fill_normal(t.value, std::sqrt(2.0 / static_cast<double>(t.shape[0] * t.shape[2] * t.shape[3])), random);
    } else if (t.shape.size() == 2) {
      fill_uniform(t.value, 1.0 / std::sqrt(static_cast<double>(t.shape[1])), random);
    } else if (ends_with(t.name, ".running_var")) {
      std::fill(t.value.begin(), t.value.end(), 1.0f);
    } else if (ends_with(t.name, ".weight")) {
      std::fill(t.value.begin(), t.value.end(), 1.0f);
    } else if (i > 0 && tensors_[i - 1].shape.size() == 2) {  // a linear layer's bias follows its weight
      fill_uniform(t.value, 1.0 / std::sqrt(static_cast<double>(tensors_[i - 1].shape[1])), random);
    }
  }
}

}  // namespace swav::resnet
