// What a user of the networks relies on besides numbers: repeatability, independence of groups' order and batches, no
// growth of memory in a step, named errors.
#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <vector>

#include "model/network.hpp"
#include "processor.hpp"
#include "rank_threads.hpp"
#include "swav/core/error.hpp"
#include "swav/core/philox.hpp"

namespace {

using namespace swav;
using namespace swav::resnet;
using swav::test::RankThreads;

const Architecture tiny{.depth = 10, .width = 8, .channels = 1, .head_hidden = 24, .embedding = 8};

void fill(std::span<float> values, std::uint64_t stream) {
  PhiloxStream random(11, stream);
  for (float& v : values) v = static_cast<float>(random.uniform(-1.0, 1.0));
}

std::vector<float> copy(MatrixView<const float> m) { return {m.data, m.data + m.size()}; }

/// On the processor that is tested.
class Tested : public Network {
 public:
  Tested(const Architecture& architecture, std::vector<ImageGroup> groups, Precision precision, std::uint64_t seed,
         RankGroup ranks = {})
      : Network(architecture, std::move(groups), precision, seed, Gradients::computed, std::move(ranks),
                resnet::test::processor) {}

  void backward(const std::vector<float>& gradient) {
    const resnet::test::ProcessorRows rows(
        MatrixView<const float>(gradient.data(), this->rows(), embedding_dimension()));
    Network::backward(rows);
  }
};

/// One step on random images; returns the embeddings, all gradients and all values, one after the other.
std::vector<float> one_step(Tested& network, std::size_t groups) {
  for (std::size_t g = 0; g < groups; ++g) fill(network.input(g), g);
  std::vector<float> everything = resnet::test::to_host(network.forward());
  std::vector<float> target(everything.size());
  fill(target, 50);
  network.backward(target);
  network.download();
  for (const NamedTensor& t : network.tensors()) {
    everything.insert(everything.end(), t.gradient.begin(), t.gradient.end());
    everything.insert(everything.end(), t.value.begin(), t.value.end());
  }
  return everything;
}

double largest(std::span<const float> values) {
  double most = 0;
  for (const float value : values) most = std::max(most, std::abs(static_cast<double>(value)));
  return most;
}

double largest_difference(std::span<const float> a, std::span<const float> b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return most;
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return ab / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("the same seed gives the same bits, step after step, in a new network") {
  for (Precision precision : {Precision::float32, Precision::bfloat16}) {
    Tested first(tiny, {{6, 12}, {4, 8}}, precision, 5);
    Tested second(tiny, {{6, 12}, {4, 8}}, precision, 5);
    for (int step = 0; step < 3; ++step) CHECK(one_step(first, 2) == one_step(second, 2));
    Tested other(tiny, {{6, 12}, {4, 8}}, precision, 6);
    CHECK(one_step(first, 2) != one_step(other, 2));
  }
}

TEST_CASE("ranks with a share of the batch each are one network: embeddings, gradients and running statistics") {
  // Downsampling blocks, the stem's pooling and two resolutions: every way in which batch norm is used.
  const Architecture pooled{
      .depth = 10, .width = 8, .small_stem = false, .channels = 1, .head_hidden = 24, .embedding = 8};
  for (const int ranks : {2, 3}) {
    CAPTURE(ranks);
    const Architecture& architecture = ranks == 2 ? pooled : tiny;
    const std::array sides = ranks == 2 ? std::array{64, 40} : std::array{12, 8};
    constexpr Index images[] = {12, 6};
    Tested whole(architecture, {{images[0], sides[0]}, {images[1], sides[1]}}, Precision::float32, 5);
    const std::vector<float> expected = one_step(whole, 2);
    const Index rows = whole.rows(), columns = whole.embedding_dimension();
    std::vector<float> target(static_cast<std::size_t>(rows * columns));
    fill(target, 50);
    RankThreads threads(ranks);
    std::mutex checks;
    threads.run([&](const RankGroup& group) {
      omp_set_num_threads(1);
      const Index share[] = {images[0] / ranks, images[1] / ranks};
      Tested part(architecture, {{share[0], sides[0]}, {share[1], sides[1]}}, Precision::float32, 5, group);
      // Where a part's rows are among those of all images.
      const auto rows_of = [&](std::size_t g, const auto& visit) {
        const Index of_group = g == 0 ? 0 : images[0], of_part = g == 0 ? 0 : share[0];
        for (Index r = 0; r < share[g]; ++r) visit(of_group + group.rank() * share[g] + r, of_part + r);
      };
      std::vector<float> part_target(static_cast<std::size_t>(part.rows() * columns));
      for (std::size_t g = 0; g < 2; ++g) {
        const auto size = static_cast<Index>(part.input(g).size());
        std::copy_n(whole.input(g).begin() + group.rank() * size, size, part.input(g).begin());
        rows_of(g, [&](Index in_all, Index in_part) {
          std::copy_n(target.begin() + in_all * columns, columns, part_target.begin() + in_part * columns);
        });
      }
      const std::vector<float> z = resnet::test::to_host(part.forward());
      part.backward(part_target);
      part.download();
      if (resnet::test::processor == Processor::cpu)
        group.sum(part.gradients().data(), static_cast<Index>(part.gradients().size()));
      else
        for (NamedTensor& tensor : part.tensors())
          group.sum(tensor.gradient.data(), static_cast<Index>(tensor.gradient.size()));

      const std::lock_guard lock(checks);
      double difference = 0;
      for (std::size_t g = 0; g < 2; ++g)
        rows_of(g, [&](Index in_all, Index in_part) {
          for (Index c = 0; c < columns; ++c)
            difference =
                std::max(difference, std::abs(double(z[static_cast<std::size_t>(in_part * columns + c)]) -
                                              double(expected[static_cast<std::size_t>(in_all * columns + c)])));
        });
      CHECK(difference <= 2e-5);
      for (std::size_t t = 0; t < part.tensors().size(); ++t) {
        const NamedTensor &mine = part.tensors()[t], &all = whole.tensors()[t];
        CAPTURE(mine.name);
        CHECK(largest_difference(mine.value, all.value) <= 1e-5);
        if (mine.name != "projection_head.0.bias")  // its gradient is rounding alone
          CHECK(largest_difference(mine.gradient, all.gradient) <= 2e-4 * (1 + largest(all.gradient)));
      }
    });
  }
}

TEST_CASE("names, shapes and initial values are torchvision's") {
  Network network({.depth = 18, .width = 16, .channels = 3, .head_hidden = 64, .embedding = 32}, {{2, 32}},
                  Precision::float32, 0);
  const auto find = [&](const std::string& name) -> const NamedTensor& {
    const auto& all = network.tensors();
    const auto found = std::find_if(all.begin(), all.end(), [&](const NamedTensor& t) { return t.name == name; });
    REQUIRE_MESSAGE(found != all.end(), name);
    return *found;
  };
  CHECK(find("conv1.weight").shape == std::vector<Index>{16, 3, 3, 3});
  CHECK(find("layer2.0.downsample.0.weight").shape == std::vector<Index>{32, 16, 1, 1});
  CHECK(find("layer4.1.bn2.running_var").gradient.empty());
  CHECK(find("projection_head.3.weight").shape == std::vector<Index>{32, 64});
  CHECK(find("layer4.1.conv2.weight").decays);
  CHECK_FALSE(find("projection_head.0.bias").decays);
  CHECK_FALSE(find("bn1.weight").decays);
  for (float v : find("layer1.0.bn1.running_var").value) CHECK(v == 1.0f);

  const auto weight = find("layer4.1.conv2.weight").value;
  double square = 0;
  for (float v : weight) square += static_cast<double>(v) * static_cast<double>(v);
  CHECK(square / static_cast<double>(weight.size()) == doctest::Approx(2.0 / (128 * 9)).epsilon(0.02));
  const auto bias = find("projection_head.0.bias").value;
  CHECK(*std::max_element(bias.begin(), bias.end()) <= 1.0f / std::sqrt(128.0f));
  CHECK(*std::max_element(bias.begin(), bias.end()) > 0.8f / std::sqrt(128.0f));
}

TEST_CASE("bfloat16 gives nearly float's embeddings and gradients") {
  const std::vector<ImageGroup> groups = {{64, 16}, {64, 12}};
  Tested exact(tiny, groups, Precision::float32, 5), rounded(tiny, groups, Precision::bfloat16, 5);
  for (Tested* network : {&exact, &rounded}) one_step(*network, 2);
  CHECK(cosine(resnet::test::to_host(exact.forward()), resnet::test::to_host(rounded.forward())) > 0.999);
  for (std::size_t t = 0; t < exact.tensors().size(); ++t) {
    const NamedTensor& a = exact.tensors()[t];
    if (a.gradient.empty() || a.name == "projection_head.0.bias") continue;
    INFO(a.name);
    CHECK(cosine(a.gradient, rounded.tensors()[t].gradient) > (a.decays ? 0.97 : 0.9));
  }
}

TEST_CASE("features do not depend on the rest of the batch, and follow the weights on refresh") {
  const auto features_of = [](FeatureExtractor& extractor) {
    extractor.compute();
    return copy(extractor.features());
  };
  Tested network(tiny, {{8, 12}}, Precision::float32, 5);
  one_step(network, 1);
  FeatureExtractor four(network, {4, 12}, Precision::float32), one(network, {1, 12}, Precision::float32);
  CHECK(four.feature_dimension() == 64);
  fill(four.input(), 9);
  const std::vector<float> together = features_of(four);
  for (std::size_t i = 0; i < 4; ++i) {
    std::copy_n(four.input().begin() + static_cast<std::ptrdiff_t>(i * 144), 144, one.input().begin());
    const std::vector<float> alone = features_of(one);
    for (std::size_t c = 0; c < 64; ++c) CHECK(alone[c] == doctest::Approx(together[i * 64 + c]).epsilon(1e-4));
  }
  for (float& v : network.tensors()[0].value) v *= -1.0f;
  network.upload();
  CHECK(features_of(four) == together);
  four.refresh();
  CHECK(features_of(four) != together);
}

TEST_CASE("without a head the embeddings are the pooled features") {
  Architecture headless = tiny;
  headless.head = false;
  Tested network(headless, {{4, 12}, {3, 8}}, Precision::float32, 5);
  CHECK(network.embedding_dimension() == 64);
  const std::vector<float> all = one_step(network, 2);
  CHECK(std::all_of(all.begin(), all.end(), [](float v) { return std::isfinite(v); }));
}

TEST_CASE("bad input is named, and nothing is changed") {
  const auto with = [](auto change) {
    Architecture a = tiny;
    change(a);
    return a;
  };
  const std::vector<ImageGroup> group = {{4, 12}};
  const auto build = [&](const Architecture& a, const std::vector<ImageGroup>& g) {
    Tested network(a, g, Precision::float32, 0);
  };
  CHECK_THROWS_AS(build(with([](Architecture& a) { a.depth = 20; }), group), InvalidInput);
  CHECK_THROWS_WITH(build(with([](Architecture& a) { a.depth = 20; }), group),
                    "architecture: depth 20 found, 10, 18, 34 or 50 wanted");
  CHECK_THROWS_AS(build(with([](Architecture& a) { a.width = 12; }), group), InvalidInput);
  CHECK_THROWS_AS(build(with([](Architecture& a) { a.width = 0; }), group), InvalidInput);
  CHECK_THROWS_AS(build(with([](Architecture& a) { a.channels = 0; }), group), InvalidInput);
  CHECK_THROWS_AS(build(with([](Architecture& a) { a.embedding = 0; }), group), InvalidInput);
  CHECK_THROWS_AS(build(with([](Architecture& a) { a.head_hidden = -1; }), group), InvalidInput);
  CHECK_THROWS_AS(build(tiny, {}), InvalidInput);
  CHECK_THROWS_AS(build(tiny, {{0, 12}}), InvalidInput);
  CHECK_THROWS_AS(build(tiny, {{4, 0}}), InvalidInput);
  CHECK_THROWS_AS(build(tiny, {{1, 8}}), InvalidInput);  // one value a channel in the last stage

  Tested tested(tiny, group, Precision::float32, 0);
  Network& network = tested;
  const std::vector<float> grad(4 * 8);
  const auto rows = [&](Index count, Index dimension) {
    return resnet::test::ProcessorRows(MatrixView<const float>(grad.data(), count, dimension));
  };
  CHECK_THROWS_AS(network.backward(rows(4, 8)), InvalidInput);  // no forward() yet
  network.forward();
  CHECK_THROWS_AS(network.backward(rows(3, 8)), InvalidInput);
  CHECK_THROWS_AS(network.backward(rows(4, 7)), InvalidInput);
  CHECK_NOTHROW(network.backward(rows(4, 8)));
  CHECK_THROWS_AS((void)network.input(1), InvalidInput);
  CHECK_THROWS_AS(FeatureExtractor(network, {0, 12}, Precision::float32), InvalidInput);
}
