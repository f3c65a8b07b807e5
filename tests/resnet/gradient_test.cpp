// The network's gradients against central differences. In: a small float network on two resolutions. Out: directional
// derivatives along each tensor's own gradient agree.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "model/network.hpp"
#include "swav/core/philox.hpp"

namespace {

using namespace swav;
using namespace swav::resnet;

/// sum of z * target, in double.
double loss(MatrixView<const float> z, const std::vector<float>& target) {
  double sum = 0;
  for (Index i = 0; i < z.size(); ++i)
    sum += static_cast<double>(z.data[i]) * static_cast<double>(target[static_cast<std::size_t>(i)]);
  return sum;
}

void fill(std::span<float> values, std::uint64_t stream) {
  PhiloxStream random(7, stream);
  for (float& v : values) v = static_cast<float>(random.uniform(-1.0, 1.0));
}

/// Checks the tensors whose names begin with one of `prefixes`.
void check_gradients(const Architecture& architecture, const std::vector<ImageGroup>& groups,
                     const std::vector<std::string>& prefixes) {
  Network network(architecture, groups, Precision::float32, 3);
  for (std::size_t g = 0; g < groups.size(); ++g) fill(network.input(g), g);
  std::vector<float> target(static_cast<std::size_t>(network.rows() * network.embedding_dimension()));
  fill(target, 100);
  network.forward();
  network.backward({target.data(), network.rows(), network.embedding_dimension()});

  for (NamedTensor& t : network.tensors()) {
    if (t.gradient.empty() || t.name == "projection_head.0.bias") continue;  // that one's gradient is 0
    if (std::none_of(prefixes.begin(), prefixes.end(), [&](const std::string& p) { return t.name.starts_with(p); }))
      continue;
    INFO(t.name);
    const std::vector<float> gradient(t.gradient.begin(), t.gradient.end());
    const std::vector<float> value(t.value.begin(), t.value.end());
    double norm = 0, scale = 0;
    for (std::size_t i = 0; i < value.size(); ++i) {
      norm += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
      scale += static_cast<double>(value[i]) * static_cast<double>(value[i]);
    }
    norm = std::sqrt(norm);
    // Steps small enough that few ReLUs switch, large enough to stand out of float's rounding; biases start at 0.
    const double step = 1e-3 * std::max(std::sqrt(scale), 0.3);
    double side[2];
    for (int s = 0; s < 2; ++s) {
      const double signed_step = s == 0 ? step : -step;
      for (std::size_t i = 0; i < value.size(); ++i)
        t.value[i] =
            static_cast<float>(static_cast<double>(value[i]) + signed_step * static_cast<double>(gradient[i]) / norm);
      side[s] = loss(network.forward(), target);
    }
    std::copy(value.begin(), value.end(), t.value.begin());
    const double difference = (side[0] - side[1]) / (2.0 * step);
    CHECK(difference == doctest::Approx(norm).epsilon(0.02));
  }
}

}  // namespace

TEST_CASE("basic blocks: gradients equal central differences") {
  check_gradients({.depth = 10, .width = 8, .channels = 1, .head_hidden = 20, .embedding = 6}, {{16, 10}, {12, 7}},
                  {""});
}

// Below the last blocks, a step that float can resolve switches so many ReLUs of a 50-layer network that differences
// say nothing; the golden files hold those layers.
TEST_CASE("bottlenecks: gradients of the last blocks and the head equal central differences") {
  check_gradients({.depth = 50, .width = 8, .small_stem = false, .channels = 3, .head_hidden = 16, .embedding = 6},
                  {{16, 32}}, {"layer4.2", "projection_head"});
}
