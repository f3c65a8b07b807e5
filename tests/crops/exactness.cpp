// The sampler against torchvision and Pillow (tests/golden/crops.py). In: golden files. Out: assertions.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "device_crops.hpp"
#include "golden.hpp"

namespace {

using swav::Box;
using swav::ColorStep;
using swav::CropPlan;
using swav::ImageView;
using swav::Index;
using swav::Normalization;
using swav::Photometry;
using swav::RowMatrix;
using swav::test::GoldenArrays;
using swav::test::load_golden;
using swav::test::MultiCropSampler;
using swav::test::render_on_device;
using enum swav::ColorOperation;

std::vector<std::uint8_t> photograph(const GoldenArrays& golden) {
  const RowMatrix<double>& photo = golden.at("photo");
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(photo.size()));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(photo.data()[i]);
  return bytes;
}

struct Difference {
  double largest = 0;
  double mean = 0;
};

/// Between two crops in the same planar order.
Difference difference(const std::vector<float>& found, const RowMatrix<double>& reference) {
  REQUIRE(static_cast<Index>(found.size()) == reference.size());
  Difference result;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double error = std::abs(static_cast<double>(found[i]) - reference.data()[i]);
    result.largest = std::max(result.largest, error);
    result.mean += error / static_cast<double>(found.size());
  }
  return result;
}

template <class T>
std::vector<float> render(const ImageView<T>& image, const CropPlan& plan,
                          const Normalization& normalization = Normalization::none()) {
  std::vector<float> out(static_cast<std::size_t>(image.channels * plan.size * plan.size));
  render_on_device(image, plan, normalization, out.data());
  return out;
}

// What float arithmetic may lose in values of [0, 1], a few operations long.
constexpr double float_error = 2e-6;

}  // namespace

TEST_CASE("crops resample as torchvision in float to rounding, and as torchvision and Pillow in bytes to one level") {
  const GoldenArrays golden = load_golden("crop_resize.bin");
  const auto photo = photograph(golden);
  const ImageView<std::uint8_t> image{photo.data(), 40, 50, 3};
  const RowMatrix<double>& boxes = golden.at("boxes");
  for (Index n = 0; n < boxes.rows(); ++n) {
    CAPTURE(n);
    const auto entry = [&](Index k) { return static_cast<Index>(boxes(n, k)); };
    const CropPlan plan{.box = {entry(0), entry(1), entry(2), entry(3)}, .size = entry(4), .flip = entry(5) == 1};
    const auto crop = render(image, plan);
    const std::string name = "crop" + std::to_string(n);
    CHECK(difference(crop, golden.at(name + "_float")).largest < float_error);
    CropPlan cubic = plan;
    cubic.interpolation = swav::Interpolation::bicubic;
    CHECK(difference(render(image, cubic), golden.at(name + "_bicubic")).largest < float_error);
    for (const char* peer : {"_bytes", "_pillow"}) {
      CAPTURE(peer);
      std::vector<float> levels = crop;
      for (float& value : levels) value = std::round(value * 255);
      const Difference from_peer = difference(levels, golden.at(name + peer));
      CHECK(from_peer.largest <= 1.0);
      CHECK(from_peer.mean < 0.25);
    }
  }
}

TEST_CASE("each colour step is torchvision's") {
  const auto photo = photograph(load_golden("crop_resize.bin"));
  const ImageView<std::uint8_t> image{photo.data(), 40, 50, 3};
  const GoldenArrays golden = load_golden("crop_color.bin");
  const RowMatrix<double>& place = golden.at("color_box");
  const auto side = static_cast<Index>(place(0, 2));
  const CropPlan plain{.box = {static_cast<Index>(place(0, 0)), static_cast<Index>(place(0, 1)), side, side},
                       .size = side};
  // torchvision's luma weighs red by 0.2989, ours (as Pillow's and the standard's) by 0.299: 0.0001 times a factor.
  const auto check = [&](const std::string& name, const Photometry& photometry, double bound) {
    CAPTURE(name);
    CropPlan plan = plain;
    plan.photometry = photometry;
    CHECK(difference(render(image, plan), golden.at(name)).largest < bound);
  };
  const auto step = [](swav::ColorOperation operation, double amount) {
    return Photometry{.steps = {{{operation, amount}}}, .step_count = 1};
  };
  check("brightness_1.7", step(brightness, 1.7), float_error);
  check("brightness_0.4", step(brightness, 0.4), float_error);
  check("contrast_1.8", step(contrast, 1.8), 1.2e-4);
  check("contrast_0.3", step(contrast, 0.3), 1.2e-4);
  check("saturation_1.8", step(saturation, 1.8), 1.2e-4);
  check("saturation_0.2", step(saturation, 0.2), 1.2e-4);
  check("hue_0.2", step(hue, 0.2), float_error);
  check("hue_-0.37", step(hue, -0.37), float_error);
  check("hue_0.5", step(hue, 0.5), float_error);
  check("grey", {.grayscale = true}, 1.2e-4);
  check("solarize_0.6", {.solarize_threshold = 0.6}, float_error);
  for (const double sigma : {0.1, 0.5, 1.3, 2.0})
    check("blur_" + std::to_string(sigma).substr(0, 3), {.blur_sigma = sigma}, float_error);
}

TEST_CASE("the box blur is Pillow's") {
  const auto photo = photograph(load_golden("crop_resize.bin"));
  const ImageView<std::uint8_t> image{photo.data(), 40, 50, 3};
  const GoldenArrays golden = load_golden("crop_color.bin");
  CropPlan plan{.box = {6, 20, 12, 12}, .size = 12};
  plan.photometry.blur_filter = swav::BlurFilter::box;
  for (const double sigma : {0.1, 0.5, 1.3, 2.0}) {
    CAPTURE(sigma);
    plan.photometry.blur_sigma = sigma;
    std::vector<float> levels = render(image, plan);
    for (float& value : levels) value *= 255;
    const Difference from_pillow = difference(levels, golden.at("pillow_blur_" + std::to_string(sigma).substr(0, 3)));
    CHECK(from_pillow.largest < 1.001);
    CHECK(from_pillow.mean < 0.25);
  }
  // Wider than the crop itself, whose border is repeated.
  for (const Index size : {1, 2, 5}) {
    const CropPlan wide{
        .box = {0, 0, size, size}, .size = size, .photometry = {.blur_sigma = 6, .blur_filter = swav::BlurFilter::box}};
    const auto [low, high] = std::minmax_element(photo.begin(), photo.end());
    for (const float value : render(image, wide)) {
      CHECK(value * 255 >= *low - 0.01);
      CHECK(value * 255 <= *high + 0.01);
    }
  }
}

TEST_CASE("an image to be evaluated is resized by its shorter side and cut in the middle, as by torchvision") {
  const GoldenArrays golden = load_golden("crop_resize.bin");
  const auto photo = photograph(golden);
  const RowMatrix<double>& centers = golden.at("centers");
  std::vector<std::uint8_t> turned(photo.size());
  for (std::size_t y = 0; y < 40; ++y)
    for (std::size_t x = 0; x < 50; ++x)
      for (std::size_t c = 0; c < 3; ++c) turned[(x * 40 + y) * 3 + c] = photo[(y * 50 + x) * 3 + c];
  for (Index n = 0; n < centers.rows(); ++n) {
    CAPTURE(n);
    const bool tall = centers(n, 2) == 1;
    const ImageView<std::uint8_t> image{tall ? turned.data() : photo.data(), tall ? 50 : 40, tall ? 40 : 50, 3};
    CropPlan plan = swav::center_crop(image.height, image.width, static_cast<Index>(centers(n, 0)),
                                      static_cast<Index>(centers(n, 1)));
    const auto planar = render(image, plan);
    CHECK(difference(planar, golden.at("center" + std::to_string(n))).largest < float_error);
    plan.layout = swav::PixelLayout::interleaved;
    const auto interleaved = render(image, plan);
    const auto pixels = static_cast<std::size_t>(plan.size * plan.size);
    bool same = true;
    for (std::size_t i = 0; i < pixels; ++i)
      for (std::size_t c = 0; c < 3; ++c) same = same && interleaved[3 * i + c] == planar[c * pixels + i];
    CHECK(same);
    plan.flip = true;
    const auto flipped = render(image, plan);
    CHECK(flipped[0] == doctest::Approx(interleaved[static_cast<std::size_t>(3 * (plan.size - 1))]).epsilon(1e-5));
  }
  CHECK_THROWS_AS((void)swav::center_crop(0, 3), swav::InvalidInput);
  CHECK_THROWS_AS((void)swav::center_crop(9, 9, 10, 11), swav::InvalidInput);
  CropPlan outside = swav::center_crop(40, 50, 24, 16);
  outside.window_left = 15;
  std::vector<float> out(3 * 16 * 16);
  CHECK_THROWS_AS(
      render_on_device(ImageView<std::uint8_t>{photo.data(), 40, 50, 3}, outside, Normalization::none(), out.data()),
      swav::InvalidInput);
}

TEST_CASE("one channel: contrast about its mean, then brightness") {
  const auto photo = photograph(load_golden("crop_resize.bin"));
  const GoldenArrays golden = load_golden("crop_color.bin");
  std::vector<std::uint8_t> green(40 * 50);
  for (std::size_t i = 0; i < green.size(); ++i) green[i] = photo[3 * i + 1];
  const RowMatrix<double>& place = golden.at("color_box");
  const auto side = static_cast<Index>(place(0, 2));
  CropPlan plan{.box = {static_cast<Index>(place(0, 0)), static_cast<Index>(place(0, 1)), side, side}, .size = side};
  plan.photometry = {.steps = {{{contrast, 1.6}, {brightness, 1.3}}}, .step_count = 2};
  const auto crop = render(ImageView<std::uint8_t>{green.data(), 40, 50, 1}, plan);
  CHECK(difference(crop, golden.at("one_channel")).largest < float_error);
}

TEST_CASE("a whole recipe, in two orders of the jitter, is torchvision's within a quarter of a level") {
  const auto photo = photograph(load_golden("crop_resize.bin"));
  const ImageView<std::uint8_t> image{photo.data(), 40, 50, 3};
  std::vector<float> floats(photo.size());
  std::transform(photo.begin(), photo.end(), floats.begin(),
                 [](std::uint8_t p) { return static_cast<float>(p) / 255; });
  const GoldenArrays golden = load_golden("crop_color.bin");
  CropPlan plan{.box = {4, 6, 33, 29}, .size = 14, .flip = true};
  const double quarter_level = 0.25 / 255 / 0.224;
  plan.photometry = {.steps = {{{brightness, 1.4}, {saturation, 0.6}, {contrast, 1.5}, {hue, 0.15}}},
                     .step_count = 4,
                     .blur_sigma = 0.9};
  CHECK(difference(render(image, plan, {}), golden.at("chain0")).largest < quarter_level);
  CHECK(difference(render(ImageView<float>{floats.data(), 40, 50, 3}, plan, {}), golden.at("chain0")).largest <
        quarter_level);
  plan.photometry = {.steps = {{{hue, -0.2}, {contrast, 0.5}, {brightness, 0.8}, {saturation, 1.7}}},
                     .step_count = 4,
                     .grayscale = true,
                     .blur_sigma = 1.9};
  CHECK(difference(render(image, plan, {}), golden.at("chain1")).largest < quarter_level);
}

TEST_CASE("boxes are distributed as RandomResizedCrop's: Kolmogorov-Smirnov on size, area, aspect and position") {
  const GoldenArrays golden = load_golden("crop_boxes.bin");
  const RowMatrix<double>& cases = golden.at("cases");
  constexpr int draws = 100'000;
  // The two-sample critical value at one in a thousand.
  const double critical = 1.95 * std::sqrt(1.0 / draws + 1.0 / golden.at("draws")(0, 0));
  std::vector<double> values(draws);
  double largest = 0;
  for (Index n = 0; n < cases.rows(); ++n)
    for (const std::uint64_t seed : {5u, 6u, 7u}) {
      const auto height = static_cast<Index>(cases(n, 0));
      const auto width = static_cast<Index>(cases(n, 1));
      const swav::CropSpec spec{.count = 1, .size = 8, .scale = {cases(n, 2), cases(n, 3)}};
      const MultiCropSampler crops{{spec}};
      std::vector<Box> boxes;
      for (int i = 0; i < draws; ++i)
        boxes.push_back(crops.plan({seed, 6, static_cast<std::uint64_t>(i)}, height, width, 0).box);
      const auto compare = [&](const std::string& name, auto&& statistic) {
        CAPTURE(name);
        CAPTURE(n);
        CAPTURE(seed);
        std::transform(boxes.begin(), boxes.end(), values.begin(),
                       [&](const Box& box) { return static_cast<double>(statistic(box)); });
        std::sort(values.begin(), values.end());
        const RowMatrix<double>& reference = golden.at(name + std::to_string(n));
        double distance = 0;
        for (Index k = 0; k < reference.cols(); ++k) {
          const auto below = std::upper_bound(values.begin(), values.end(), reference(0, k)) - values.begin();
          distance = std::max(distance, std::abs(static_cast<double>(below) / draws - reference(1, k)));
        }
        CHECK(distance < critical);
        largest = std::max(largest, distance);
      };
      compare("top", [](const Box& b) { return b.top; });
      compare("left", [](const Box& b) { return b.left; });
      compare("height", [](const Box& b) { return b.height; });
      compare("width", [](const Box& b) { return b.width; });
      compare("area", [](const Box& b) { return b.height * b.width; });
      compare("aspect", [](const Box& b) { return static_cast<double>(b.width) / static_cast<double>(b.height); });
    }
  std::printf("boxes: largest distance %.5f of %td comparisons, critical %.5f\n", largest, 6 * 3 * cases.rows(),
              critical);
}

TEST_CASE("flips, greys, blurs and jitters come as often as asked, factors fill their ranges, orders are even") {
  const MultiCropSampler crops{{swav::CropSpec{.count = 1}}};
  int flips = 0, greys = 0, blurs = 0, jitters = 0, hue_first = 0;
  double lowest = 9, highest = -9, turn = 0, sigma = 0;
  constexpr int draws = 20'000;
  for (int i = 0; i < draws; ++i) {
    const CropPlan plan = crops.plan({1, 1, static_cast<std::uint64_t>(i)}, 375, 500, 0);
    flips += plan.flip;
    greys += plan.photometry.grayscale;
    blurs += plan.photometry.blur_sigma > 0;
    sigma += plan.photometry.blur_sigma;
    if (plan.photometry.step_count == 0) continue;
    ++jitters;
    REQUIRE(plan.photometry.step_count == 4);
    hue_first += plan.photometry.steps[0].operation == hue;
    for (const ColorStep& step : plan.photometry.steps)
      if (step.operation == hue)
        turn = std::max(turn, std::abs(step.amount));
      else
        lowest = std::min(lowest, step.amount), highest = std::max(highest, step.amount);
  }
  // Four standard deviations of a binomial with probability p.
  const auto about = [](int count, int of, double p) {
    return std::abs(count - of * p) < 4 * std::sqrt(of * p * (1 - p));
  };
  CHECK(about(flips, draws, 0.5));
  CHECK(about(greys, draws, 0.2));
  CHECK(about(blurs, draws, 0.5));
  CHECK(about(jitters, draws, 0.8));
  CHECK(about(hue_first, jitters, 0.25));
  CHECK(sigma / blurs == doctest::Approx(1.05).epsilon(0.02));
  CHECK((lowest >= 0.2 && lowest < 0.201));
  CHECK((highest <= 1.8 && highest > 1.799));
  CHECK((turn <= 0.2 && turn > 0.199));
}
