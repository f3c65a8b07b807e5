// The sampler as a whole: same key same pixels, the identity, bad input. In: small procedural images. Out: assertions.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>
#include <type_traits>
#include <vector>

#include "allocations.hpp"
#include "device_crops.hpp"

namespace {

using swav::CropKey;
using swav::CropPlan;
using swav::CropSpec;
using swav::ImageView;
using swav::Index;
using swav::InvalidInput;
using swav::Normalization;
using swav::test::MultiCropSampler;
using swav::test::render_on_device;

std::vector<std::uint8_t> noise_image(Index height, Index width, Index channels, std::uint64_t seed = 1) {
  swav::PhiloxStream random(seed, 0);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(height * width * channels));
  for (auto& p : pixels) p = static_cast<std::uint8_t>(random.below(256));
  return pixels;
}

MultiCropSampler small_sampler() {
  return MultiCropSampler{
      {{.count = 2, .size = 28, .scale = {0.3, 1.0}}, {.count = 3, .size = 20, .scale = {0.1, 0.3}}}};
}

/// All views of an image, one after the other.
template <class T>
std::vector<float> all_views(const MultiCropSampler& crops, const ImageView<T>& image, CropKey key) {
  std::size_t total = 0;
  const auto area = [&](Index v) {
    return static_cast<std::size_t>(image.channels * crops.view(v).size * crops.view(v).size);
  };
  for (Index v = 0; v < crops.views(); ++v) total += area(v);
  std::vector<float> values(total);
  std::vector<float*> outputs;
  std::size_t offset = 0;
  for (Index v = 0; v < crops.views(); ++v) {
    outputs.push_back(values.data() + offset);
    offset += area(v);
  }
  crops(image, key, outputs);
  return values;
}

}  // namespace

TEST_CASE("the same key gives the same pixels, in any order and on any thread") {
  const MultiCropSampler crops = small_sampler();
  REQUIRE(crops.views() == 5);
  CHECK(crops.view(1).size == 28);
  CHECK(crops.view(2).size == 20);
  for (const Index channels : {1, 2, 3, 4}) {
    CAPTURE(channels);
    const auto pixels = noise_image(40, 50, channels);
    const ImageView<std::uint8_t> image{pixels.data(), 40, 50, channels};
    constexpr std::uint64_t images = 12;
    std::vector<std::vector<float>> forward, threaded(images);
    for (std::uint64_t i = 0; i < images; ++i) forward.push_back(all_views(crops, image, {7, 3, i}));
    for (std::uint64_t i = images; i-- > 0;) CHECK(all_views(crops, image, {7, 3, i}) == forward[i]);
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (std::uint64_t i = t; i < images; i += 4) threaded[i] = all_views(crops, image, {7, 3, i});
      });
    for (auto& thread : threads) thread.join();
    CHECK(threaded == forward);
    CHECK(forward[0] != forward[1]);
    CHECK(forward[0] != all_views(crops, image, {8, 3, 0}));
    CHECK(forward[0] != all_views(crops, image, {7, 4, 0}));
  }
}

TEST_CASE("a plan renders what the sampler renders") {
  const MultiCropSampler crops = small_sampler();
  const auto pixels = noise_image(33, 47, 3);
  const ImageView<std::uint8_t> image{pixels.data(), 33, 47, 3};
  const CropKey key{1, 2, 3};
  const auto expected = all_views(crops, image, key);
  std::vector<float> view(3 * 28 * 28);
  render_on_device(image, crops.plan(key, 33, 47, 0), crops.view(0).normalize, view.data());
  CHECK(std::equal(view.begin(), view.end(), expected.begin()));
}

TEST_CASE("a batch of images has each image's views, one batch a view") {
  const MultiCropSampler crops = small_sampler();
  const std::vector<std::uint8_t> first = noise_image(31, 40, 3), second = noise_image(50, 22, 3, 2);
  const ImageView<std::uint8_t> images[] = {{first.data(), 31, 40, 3}, {second.data(), 50, 22, 3}};
  const std::vector<CropKey> keys{{3, 1, 5}, {3, 1, 9}};
  std::vector<std::vector<float>> views;
  std::vector<float*> outputs;
  for (Index v = 0; v < crops.views(); ++v)
    views.emplace_back(static_cast<std::size_t>(2 * 3 * crops.view(v).size * crops.view(v).size));
  for (std::vector<float>& view : views) outputs.push_back(view.data());
  crops.batch(images, keys, outputs);
  for (std::size_t i = 0; i < 2; ++i) {
    std::vector<float> of_image;
    for (const std::vector<float>& view : views) {
      const auto half = static_cast<std::ptrdiff_t>(view.size() / 2), begin = static_cast<std::ptrdiff_t>(i) * half;
      of_image.insert(of_image.end(), view.begin() + begin, view.begin() + begin + half);
    }
    CHECK(of_image == all_views(crops, images[i], keys[i]));
  }
  CHECK_THROWS_AS(crops.batch(images, std::vector<CropKey>(1), outputs), InvalidInput);
}

TEST_CASE_TEMPLATE("a row stride changes nothing, and nothing between the rows is read", T, std::uint8_t, float) {
  const MultiCropSampler crops = small_sampler();
  // Were it read, a float image would be refused.
  const T unread = std::is_same_v<T, float> ? static_cast<T>(std::nanf("")) : T{99};
  for (const Index channels : {1, 2, 3, 4})
    for (const Index gap : {1, 17}) {
      CAPTURE(channels);
      CAPTURE(gap);
      const auto bytes = noise_image(33, 47, channels);
      const Index width = 47 * channels, stride = width + gap;
      std::vector<T> pixels(bytes.begin(), bytes.end());
      if (std::is_same_v<T, float>)
        for (T& value : pixels) value = static_cast<T>(value / T{255});
      std::vector<T> wide(static_cast<std::size_t>(33 * stride), unread);
      for (Index y = 0; y < 33; ++y) std::copy_n(pixels.data() + y * width, width, wide.data() + y * stride);
      CHECK(all_views(crops, ImageView<T>{wide.data(), 33, 47, channels, stride}, {1, 2, 3}) ==
            all_views(crops, ImageView<T>{pixels.data(), 33, 47, channels}, {1, 2, 3}));
    }
}

TEST_CASE("a whole image at its own size comes back, flipped or not, float or bytes") {
  const auto pixels = noise_image(21, 21, 3);
  std::vector<float> floats(pixels.size());
  for (std::size_t i = 0; i < pixels.size(); ++i) floats[i] = static_cast<float>(pixels[i]) / 255.0f;
  for (const bool flip : {false, true}) {
    const CropPlan plan{.box = {0, 0, 21, 21}, .size = 21, .flip = flip, .photometry = {}};
    std::vector<float> bytes_out(3 * 21 * 21), floats_out(3 * 21 * 21);
    render_on_device(ImageView<std::uint8_t>{pixels.data(), 21, 21, 3}, plan, Normalization::none(), bytes_out.data());
    render_on_device(ImageView<float>{floats.data(), 21, 21, 3}, plan, Normalization::none(), floats_out.data());
    for (Index c = 0; c < 3; ++c)
      for (Index y = 0; y < 21; ++y)
        for (Index x = 0; x < 21; ++x) {
          const auto out = static_cast<std::size_t>((c * 21 + y) * 21 + (flip ? 20 - x : x));
          const float in = floats[static_cast<std::size_t>((y * 21 + x) * 3 + c)];
          CHECK(floats_out[out] == in);
          CHECK(bytes_out[out] == doctest::Approx(in).epsilon(1e-6));
        }
  }
}

TEST_CASE_TEMPLATE("sixteen-bit and double outputs are the float ones, rounded", Out, double, Eigen::bfloat16,
                   Eigen::half) {
  using enum swav::ColorOperation;
  for (const Index channels : {1, 2, 3, 4})
    for (const auto layout : {swav::PixelLayout::planar, swav::PixelLayout::interleaved}) {
      CAPTURE(channels);
      const auto pixels = noise_image(30, 30, channels);
      const ImageView<std::uint8_t> image{pixels.data(), 30, 30, channels};
      const CropPlan plan{
          .box = {1, 2, 25, 20},
          .size = 17,
          .layout = layout,
          .photometry = {.steps = {{{contrast, 1.4}, {brightness, 0.7}}}, .step_count = 2, .blur_sigma = 0.8}};
      std::vector<float> floats(static_cast<std::size_t>(channels * 17 * 17));
      std::vector<Out> outputs(floats.size());
      render_on_device(image, plan, {}, floats.data());
      render_on_device(image, plan, {}, outputs.data());
      bool rounded = true;
      for (std::size_t i = 0; i < floats.size(); ++i) rounded = rounded && outputs[i] == static_cast<Out>(floats[i]);
      CHECK(rounded);
    }
}

TEST_CASE("pixels may lie apart: what is between them stays as it is") {
  const auto pixels = noise_image(30, 30, 3);
  const ImageView<std::uint8_t> image{pixels.data(), 30, 30, 3};
  CropPlan plan{.box = {1, 2, 25, 20}, .size = 17, .layout = swav::PixelLayout::interleaved};
  std::vector<float> dense(17 * 17 * 3), apart(17 * 17 * 8, -7.0f);
  render_on_device(image, plan, {}, dense.data());
  plan.pixel_stride = 8;
  render_on_device(image, plan, {}, apart.data());
  bool same = true;
  for (std::size_t i = 0; i < apart.size(); ++i)
    same = same && apart[i] == (i % 8 < 3 ? dense[i / 8 * 3 + i % 8] : -7.0f);
  CHECK(same);
  plan.pixel_stride = 2;
  CHECK_THROWS_WITH_AS(render_on_device(image, plan, {}, apart.data()), doctest::Contains("pixel_stride: 2 found"),
                       swav::InvalidInput);
  plan.pixel_stride = 8;
  plan.layout = swav::PixelLayout::planar;
  CHECK_THROWS_AS(render_on_device(image, plan, {}, apart.data()), swav::InvalidInput);
}

TEST_CASE("saturation, hue and grey leave a grey image alone") {
  using enum swav::ColorOperation;
  const auto pixels = noise_image(30, 30, 1);
  const ImageView<std::uint8_t> image{pixels.data(), 30, 30, 1};
  CropPlan plain{.box = {0, 0, 30, 30}, .size = 20, .flip = false, .photometry = {}};
  CropPlan colored = plain;
  colored.photometry = {.steps = {{{saturation, 1.7}, {hue, 0.3}}}, .step_count = 2, .grayscale = true};
  std::vector<float> a(400), b(400);
  render_on_device(image, plain, Normalization::none(), a.data());
  render_on_device(image, colored, Normalization::none(), b.data());
  CHECK(a == b);
}

TEST_CASE("alpha is resampled and keeps out of the colours") {
  using enum swav::ColorOperation;
  const auto rgba = noise_image(30, 30, 4);
  std::vector<std::uint8_t> rgb, alpha;
  for (std::size_t i = 0; i < rgba.size(); i += 4) {
    rgb.insert(rgb.end(), rgba.data() + i, rgba.data() + i + 3);
    alpha.push_back(rgba[i + 3]);
  }
  const CropPlan plain{.box = {3, 2, 25, 21}, .size = 20};
  CropPlan colored = plain;
  colored.photometry = {.steps = {{{brightness, 1.4}, {saturation, 0.3}, {contrast, 1.7}, {hue, 0.3}}},
                        .step_count = 4,
                        .grayscale = true,
                        .solarize_threshold = 0.5};
  std::vector<float> all(4 * 400), color(3 * 400), mask(400);
  render_on_device(ImageView<std::uint8_t>{rgba.data(), 30, 30, 4}, colored, Normalization::none(), all.data());
  render_on_device(ImageView<std::uint8_t>{rgb.data(), 30, 30, 3}, colored, Normalization::none(), color.data());
  render_on_device(ImageView<std::uint8_t>{alpha.data(), 30, 30, 1}, plain, Normalization::none(), mask.data());
  for (std::size_t i = 0; i < 1200; ++i) CHECK(all[i] == doctest::Approx(color[i]).epsilon(1e-5));
  for (std::size_t i = 0; i < 400; ++i) CHECK(all[1200 + i] == doctest::Approx(mask[i]).epsilon(1e-5));
}

TEST_CASE("a plan may hold any steps in any order, two contrasts among them") {
  using enum swav::ColorOperation;
  const auto pixels = noise_image(9, 9, 1);
  CropPlan plan{.box = {0, 0, 9, 9}, .size = 9};
  plan.photometry = {.steps = {{{contrast, 1.5}, {brightness, 1.2}, {contrast, 0.4}}}, .step_count = 3};
  std::vector<float> out(81);
  render_on_device(ImageView<std::uint8_t>{pixels.data(), 9, 9, 1}, plan, Normalization::none(), out.data());
  std::vector<double> expected(pixels.begin(), pixels.end());
  for (double& value : expected) value /= 255;
  const auto blend = [&](double factor, bool about_mean) {
    double mean = 0;
    for (const double value : expected) mean += about_mean ? value / 81 : 0.0;
    for (double& value : expected) value = std::clamp(factor * value + (1 - factor) * mean, 0.0, 1.0);
  };
  blend(1.5, true);
  blend(1.2, false);
  blend(0.4, true);
  for (std::size_t i = 0; i < 81; ++i) CHECK(out[i] == doctest::Approx(expected[i]).epsilon(1e-5));
}

TEST_CASE("extreme shapes: one pixel in, one pixel out, long and thin, blur wider than the crop") {
  for (const auto& [height, width] : {std::pair<Index, Index>{1, 1}, {1, 300}, {300, 1}, {2, 3}, {500, 7}}) {
    const auto pixels = noise_image(height, width, 3);
    for (const Index size : {1, 2, 3, 16, 33}) {
      const MultiCropSampler crops{{CropSpec{.count = 4, .size = size, .blur = {1.0, {0.1, 5.0}}}}};
      for (std::uint64_t i = 0; i < 10; ++i)
        for (const float value : all_views(crops, ImageView<std::uint8_t>{pixels.data(), height, width, 3}, {0, 0, i}))
          if (!std::isfinite(value)) FAIL("a value that is not finite");
    }
  }
}

TEST_CASE("options at the ends of what doubles hold give crops all the same") {
  const auto pixels = noise_image(20, 30, 3);
  const MultiCropSampler crops{{CropSpec{.count = 3,
                                         .size = 10,
                                         .scale = {1e-300, 1.0},
                                         .aspect = {1e-300, 1e300},
                                         .jitter = {1e30, 1e30, 1e30, 0.5, 1.0},
                                         .blur = {1.0, {1e-300, 1e300}}},
                                CropSpec{.count = 1, .size = 10, .blur = {1.0, {1e-300, 1e-300}}}}};
  for (std::uint64_t i = 0; i < 100; ++i)
    for (const float value : all_views(crops, ImageView<std::uint8_t>{pixels.data(), 20, 30, 3}, {0, 0, i}))
      if (!std::isfinite(value)) FAIL("a value that is not finite");
}

TEST_CASE("a thread allocates for its first image, and not again") {
  const MultiCropSampler crops{{{.count = 2, .size = 32}, {.count = 2, .size = 20, .scale = {0.05, 0.14}}}};
  const auto pixels = noise_image(60, 80, 3);
  const ImageView<std::uint8_t> image{pixels.data(), 60, 80, 3};
  std::vector<float> out(4 * 3 * 32 * 32);
  std::vector<float*> outputs;
  for (std::size_t v = 0; v < 4; ++v) outputs.push_back(out.data() + v * 3 * 32 * 32);
  // A new thread, which has no working memory from other tests.
  std::thread([&] {
    crops(image, {1, 0, 0}, outputs);
    const long before = swav::test::allocations();
    for (std::uint64_t i = 1; i < 400; ++i) crops(image, {1, 0, i}, outputs);
    CHECK(swav::test::allocations() == before);
  }).join();
}

TEST_CASE("bad images, outputs and options are refused before anything is written") {
  const MultiCropSampler crops{{{.count = 2, .size = 8}}};
  const auto pixels = noise_image(10, 10, 4);
  std::vector<float> out(2 * 4 * 64, -5.0f);
  const std::vector<float*> outputs{out.data(), out.data() + 256};
  const auto refuses = [&](ImageView<std::uint8_t> image) { CHECK_THROWS_AS(crops(image, {}, outputs), InvalidInput); };
  refuses({nullptr, 10, 10, 3});
  refuses({pixels.data(), 0, 10, 3});
  refuses({pixels.data(), 10, -1, 3});
  refuses({pixels.data(), 10, 10, 0});
  refuses({pixels.data(), 10, 10, 5});
  refuses({pixels.data(), 10, 10, 3, 29});
  const ImageView<std::uint8_t> image{pixels.data(), 10, 10, 3};
  CHECK_THROWS_AS(crops(image, {}, std::vector<float*>{out.data()}), InvalidInput);
  CHECK_THROWS_AS(crops(image, {}, std::vector<float*>{out.data(), nullptr}), InvalidInput);
  CHECK_THROWS_AS((void)crops.view(2), InvalidInput);
  CHECK_THROWS_AS((void)crops.view(-1), InvalidInput);

  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const std::size_t at : {std::size_t{0}, std::size_t{150}, std::size_t{299}}) {
      std::vector<float> floats(300, 0.5f);
      floats[at] = bad;
      CHECK_THROWS_AS(crops(ImageView<float>{floats.data(), 10, 10, 3}, {}, outputs), InvalidInput);
    }
  for (const float value : out) REQUIRE(value == -5.0f);

  CHECK_THROWS_AS(MultiCropSampler(std::vector<CropSpec>{}), InvalidInput);
  const auto bad_spec = [](CropSpec spec) { CHECK_THROWS_AS(MultiCropSampler({spec}), InvalidInput); };
  bad_spec({.count = 0});
  bad_spec({.size = 0});
  bad_spec({.size = 40000});
  bad_spec({.scale = {0.5, 0.2}});
  bad_spec({.scale = {0.0, 0.2}});
  bad_spec({.scale = {0.5, 1.1}});
  bad_spec({.scale = {nan, 1.0}});
  bad_spec({.aspect = {2.0, 1.0}});
  bad_spec({.aspect = {1.0, infinity}});
  bad_spec({.flip = 1.5});
  bad_spec({.flip = nan});
  bad_spec({.jitter = {.brightness = -1}});
  bad_spec({.jitter = {.hue = 0.6}});
  bad_spec({.jitter = {.probability = 2}});
  bad_spec({.grayscale = -0.1});
  bad_spec({.blur = {0.5, {0.0, 2.0}}});
  bad_spec({.blur = {0.5, {3.0, 2.0}}});
  for (const double sigma : {1000.1, 1e9, 1e300}) bad_spec({.blur = {0.5, {0.1, sigma}, swav::BlurFilter::box}});
  CHECK_NOTHROW(MultiCropSampler({CropSpec{.blur = {0.5, {0.1, 1000}, swav::BlurFilter::box}}}));
  bad_spec({.solarize = {0.5, 2.0}});
  const MultiCropSampler grey_only{{{.count = 1, .size = 8, .normalize = {{0.3}, {0.35}}}}};
  CHECK_THROWS_AS(grey_only(image, {}, std::vector<float*>{out.data()}), InvalidInput);
  CHECK_NOTHROW(grey_only(ImageView<std::uint8_t>{pixels.data(), 10, 10, 1}, {}, std::vector<float*>{out.data()}));

  const auto bad_plan = [&](CropPlan plan) {
    CHECK_THROWS_AS(render_on_device(image, plan, {}, out.data()), InvalidInput);
  };
  bad_plan({.box = {0, 0, 0, 5}, .size = 8});
  bad_plan({.box = {0, 6, 5, 5}, .size = 8});
  bad_plan({.box = {-1, 0, 5, 5}, .size = 8});
  bad_plan({.box = {0, 0, 5, 5}, .size = 0});
  bad_plan({.box = {0, 0, 5, 5}, .size = 8, .photometry = {.step_count = 5}});
  bad_plan({.box = {0, 0, 5, 5}, .size = 8, .photometry = {.blur_sigma = nan}});
  bad_plan({.box = {0, 0, 5, 5}, .size = 8, .photometry = {.blur_sigma = 1e300, .blur_filter = swav::BlurFilter::box}});
  bad_plan(
      {.box = {0, 0, 5, 5}, .size = 8, .photometry = {.steps = {{{swav::ColorOperation::hue, 0.7}}}, .step_count = 1}});
}

TEST_CASE("recipes are options that the sampler takes, their views as published") {
  CHECK(MultiCropSampler(swav::swav_crops()).views() == 8);
  CHECK(MultiCropSampler(swav::simclr_crops()).views() == 2);
  CHECK(MultiCropSampler(swav::cifar_crops()).view(1).size == 32);
  const MultiCropSampler byol(swav::byol_crops(32));
  int blurred[2] = {}, solarized[2] = {};
  for (std::uint64_t index = 0; index < 1000; ++index)
    for (swav::Index v = 0; v < 2; ++v) {
      const swav::Photometry photometry = byol.plan({.index = index}, 40, 50, v).photometry;
      blurred[v] += photometry.blur_sigma > 0;
      solarized[v] += photometry.solarize_threshold <= 1;
    }
  CHECK(blurred[0] == 1000);
  CHECK(blurred[1] > 50);
  CHECK(blurred[1] < 150);
  CHECK(solarized[0] == 0);
  CHECK(solarized[1] > 150);
  CHECK(solarized[1] < 250);
}
