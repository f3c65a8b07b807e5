// The networks against PyTorch in double (golden files of tests/golden/resnet.py). In: hashed weights and images, the
// same in both, on the CPU or the GPU. Out: embeddings, gradients, running statistics and evaluation-mode features
// agree.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "golden.hpp"
#include "model/network.hpp"
#include "processor.hpp"
#include "tolerance.hpp"

namespace {

using namespace swav;
using namespace swav::resnet;

/// The numbers that resnet.py calls hashed.
double hashed(std::uint64_t i, std::uint64_t salt) {
  std::uint64_t h = ((i + 1) * 2654435761u + salt * 40503u) & 0xFFFFFFFFu;
  h ^= h >> 15;
  h = (h * 2246822519u) & 0xFFFFFFFFu;
  h ^= h >> 13;
  return static_cast<double>(h) / 4294967296.0 - 0.5;
}

void fill(std::span<float> values, std::uint64_t salt) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(hashed(i, salt));
}

/// Variant 0 has the exact ones, others are a rounding or two away from them.
void set_weights(Network& network, int variant) {
  std::uint64_t salt = 0;
  for (NamedTensor& t : network.tensors()) {
    const auto ends = [&](std::string_view end) { return std::string_view(t.name).ends_with(end); };
    for (std::size_t i = 0; i < t.value.size(); ++i) {
      double u = hashed(i, salt);
      if (t.shape.size() > 1) {
        const Index kernel = t.shape.size() == 4 ? t.shape[2] * t.shape[3] : 1;
        u *= std::sqrt(24.0 / static_cast<double>(t.shape[0] * kernel));
      } else {
        u = u * 0.4 + (ends("weight") || ends("var") ? 1.0 : 0.0);
      }
      t.value[i] =
          static_cast<float>(u * (1.0 + (variant > 0 ? 0x1p-22 * hashed(i, salt + 100u * unsigned(variant)) : 0.0)));
    }
    ++salt;
  }
}

/// The largest deviation, relative to the largest entry of what is expected.
double deviation(const std::vector<double>& found, const RowMatrix<double>& expected) {
  REQUIRE(static_cast<Index>(found.size()) == expected.size());
  double largest = 0, scale = 0;
  for (Index i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(found[static_cast<std::size_t>(i)] - expected.data()[i]));
    scale = std::max(scale, std::abs(expected.data()[i]));
  }
  return largest / scale;
}

std::vector<double> summary(std::span<const float> values) {
  std::vector<double> result(values.begin(), values.begin() + std::min<std::ptrdiff_t>(32, std::ssize(values)));
  for (std::uint64_t k = 0; k < 4; ++k) {
    double projection = 0;
    for (std::size_t i = 0; i < values.size(); ++i) projection += static_cast<double>(values[i]) * hashed(i, 1000 + k);
    result.push_back(projection);
  }
  return result;
}

std::vector<double> as_doubles(std::span<const float> values) { return {values.begin(), values.end()}; }

struct Deviations {
  double embeddings = 0, gradient = 0, running = 0, features = 0;
  std::string worst_gradient = {};
};

Deviations measure(const swav::test::GoldenArrays& expected, const Architecture& architecture,
                   const std::vector<ImageGroup>& groups, int variant) {
  Network network(architecture, groups, Precision::float32, 1, Gradients::computed, {}, resnet::test::processor);
  set_weights(network, variant);
  network.upload();
  for (std::size_t g = 0; g < groups.size(); ++g) fill(network.input(g), 500 + g);
  const MatrixView<const float> z = network.forward();
  Deviations found{.embeddings = deviation(as_doubles(resnet::test::to_host(z)), expected.at("embeddings"))};

  std::vector<float> grad(static_cast<std::size_t>(z.size()));
  fill(grad, 900);
  const resnet::test::ProcessorRows rows(MatrixView<const float>(grad.data(), z.rows, z.cols));
  network.backward(rows);
  network.download();
  for (const NamedTensor& t : network.tensors()) {
    INFO(t.name);
    if (t.gradient.empty()) {
      found.running = std::max(found.running, deviation(summary(t.value), expected.at("running." + t.name)));
      continue;
    }
    if (t.name == "projection_head.0.bias") {  // batch norm follows: the true gradient is 0
      for (float g : t.gradient) CHECK(std::abs(g) < 1e-5f);
      continue;
    }
    const double of_tensor = deviation(summary(t.gradient), expected.at("gradient." + t.name));
    if (of_tensor > found.gradient) found.worst_gradient = t.name;
    found.gradient = std::max(found.gradient, of_tensor);
  }

  FeatureExtractor extractor(network, groups[0], Precision::float32);
  fill(extractor.input(), 500);
  extractor.compute();
  const MatrixView<const float> features = extractor.features();
  found.features = deviation(as_doubles({features.data, features.data + features.size()}), expected.at("features"));
  return found;
}

/// With the exact weights or, where these switch a ReLU that they do not switch in double, others a rounding away:
/// where few values are left, one ReLU moves the gradients of all layers below it by percents.
void compare(const std::string& golden, const Architecture& architecture, const std::vector<ImageGroup>& groups,
             const Deviations& bounds) {
  const swav::test::GoldenArrays expected = swav::test::load_golden(golden);
  Deviations found = measure(expected, architecture, groups, 0);
  for (int variant = 1; variant < 24 && found.gradient >= bounds.gradient; ++variant)
    found = measure(expected, architecture, groups, variant);
  INFO("worst gradient: " << found.worst_gradient);
  CHECK(found.embeddings < bounds.embeddings);
  CHECK(found.gradient < bounds.gradient);
  CHECK(found.running < bounds.running);
  CHECK(found.features < bounds.features);
}

const Architecture small{
    .depth = 10, .width = 16, .small_stem = true, .channels = 1, .head_hidden = 24, .embedding = 16};
const Architecture bottleneck{
    .depth = 50, .width = 8, .small_stem = false, .channels = 3, .head_hidden = 24, .embedding = 16};

}  // namespace

TEST_CASE("ResNet-10 with two resolutions equals PyTorch") {
  compare("resnet_10.bin", small, {{6, 12}, {5, 9}}, {1e-5, 1e-4, 1e-5, 1e-5});
}
// Looser: 50 layers in float, and batch norm over the five rows of the head.
TEST_CASE("ResNet-50 with the ImageNet stem and a narrow width equals PyTorch") {
  compare("resnet_50.bin", bottleneck, {{3, 64}, {2, 48}}, {5e-4, 3e-3, 3e-4, 1e-4});
}
