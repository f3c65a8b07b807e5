// The sampler on pieces of two photographs against torchvision and Pillow, in levels of 255. In:
// tests/golden/photographs.safetensors. Out: assertions, and the differences, printed.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "device_crops.hpp"
#include "swav/io/safetensors.hpp"

namespace {

using swav::Box;
using swav::CropPlan;
using swav::ImageView;
using swav::Index;
using swav::Photometry;
using swav::ResampleAxis;
using swav::test::render_on_device;
using enum swav::ColorOperation;
using Bytes = std::vector<std::uint8_t>;

constexpr Index height = 96, width = 128, size = 48;
constexpr Box reduced{3, 5, 90, 117}, enlarged{20, 30, 31, 24}, piece{30, 50, size, size};
constexpr double sigma = 1.4;

const swav::SafetensorsFile& golden() {
  static const swav::SafetensorsFile file(std::string(SWAV_GOLDEN_DIR) + "/photographs.safetensors");
  return file;
}

Bytes bytes_of(const std::string& name) {
  Bytes bytes(golden().at(name).bytes.size());
  golden().read<std::uint8_t>(name, bytes);
  return bytes;
}

/// Adds .5 to a level, or nothing, before its fraction is dropped: how the peer made bytes.
enum class MadeBytes { rounding, truncating };

Bytes levels(const std::vector<float>& values, MadeBytes made) {
  Bytes bytes(values.size());
  // Truncated, what float arithmetic leaves under a whole level would count as the level below.
  const double shift = made == MadeBytes::rounding ? 0.5 : 1e-3;
  for (std::size_t i = 0; i < values.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(std::floor(static_cast<double>(values[i]) * 255 + shift));
  return bytes;
}

struct Difference {
  int largest = 0;
  double mean = 0;
};

Difference difference(const std::string& name, const Bytes& found, const Bytes& wanted) {
  REQUIRE(found.size() == wanted.size());
  Difference result;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const int error = std::abs(int{found[i]} - int{wanted[i]});
    result.largest = std::max(result.largest, error);
    result.mean += static_cast<double>(error) / static_cast<double>(found.size());
  }
  std::printf("%-26s largest %d, mean %.4f levels\n", name.c_str(), result.largest, result.mean);
  return result;
}

std::vector<float> render(const Bytes& photo, CropPlan plan) {
  plan.size = size;
  plan.layout = swav::PixelLayout::interleaved;
  std::vector<float> out(3 * size * size);
  render_on_device(ImageView<std::uint8_t>{photo.data(), height, width, 3}, plan, swav::Normalization::none(),
                   out.data());
  return out;
}

/// Interleaved rows of axis.in pixels resampled to bytes, and turned: axis.out x rows pixels.
Bytes resample_and_turn(const Bytes& from, Index rows, const ResampleAxis& axis) {
  Bytes to(static_cast<std::size_t>(3 * rows * axis.out));
  std::vector<float> weights(static_cast<std::size_t>(axis.max_taps()));
  for (Index i = 0; i < axis.out; ++i) {
    const ResampleAxis::Window window = axis.window(i, 1.0f, weights.data());
    for (Index r = 0; r < rows; ++r)
      for (Index c = 0; c < 3; ++c) {
        double sum = 0.5;
        for (Index k = 0; k < window.count; ++k)
          sum += static_cast<double>(weights[static_cast<std::size_t>(k)]) *
                 from[static_cast<std::size_t>((r * axis.in + window.first + k) * 3 + c)];
        to[static_cast<std::size_t>((i * rows + r) * 3 + c)] = static_cast<std::uint8_t>(std::clamp(sum, 0.0, 255.0));
      }
  }
  return to;
}

Bytes cut(const Bytes& photo, const Box& box) {
  Bytes pixels;
  for (Index y = box.top; y < box.top + box.height; ++y) {
    const std::uint8_t* row = photo.data() + (y * width + box.left) * 3;
    pixels.insert(pixels.end(), row, row + box.width * 3);
  }
  return pixels;
}

/// At most one level, under a quarter of one in the mean.
void check_close(const Difference& found) {
  CHECK(found.largest <= 1);
  CHECK(found.mean < 0.25);
}

}  // namespace

TEST_CASE("crops of photographs are torchvision's and Pillow's to a level of 255") {
  for (const std::string photo_name : {"china", "flower"}) {
    CAPTURE(photo_name);
    const Bytes photo = bytes_of(photo_name);
    REQUIRE(photo.size() == 3 * height * width);
    const auto compare = [&](const std::string& name, const CropPlan& plan, MadeBytes made) {
      CAPTURE(name);
      Bytes wanted = bytes_of(photo_name + " " + name), found = levels(render(photo, plan), made);
      if (wanted.size() == size * size)  // grey: one channel for three
        for (std::size_t i = 0; i < wanted.size(); ++i) found[i] = found[3 * i];
      found.resize(wanted.size());
      return difference(photo_name + " " + name, found, wanted);
    };
    for (const char* peer : {" bytes", " pillow"}) {
      check_close(compare(std::string("reduced") + peer, {.box = reduced}, MadeBytes::rounding));
      check_close(compare(std::string("enlarged") + peer, {.box = enlarged}, MadeBytes::rounding));
    }

    const auto colored = [](swav::ColorOperation operation, double amount) {
      return CropPlan{.box = piece, .photometry = {.steps = {{{operation, amount}}}, .step_count = 1}};
    };
    for (const auto& [name, plan] : {std::pair<std::string, CropPlan>{"brightness", colored(brightness, 1.6)},
                                     {"contrast", colored(contrast, 0.4)},
                                     {"saturation", colored(saturation, 1.6)},
                                     {"hue", colored(hue, -0.3)}}) {
      check_close(compare(name + " float", plan, MadeBytes::rounding));
      if (name == "hue") continue;
      // Pillow's mean luma is a whole level, so that .4 x + .6 mean is up to .3 off: of the five fractions that .4 x
      // may have, two may then be of another level.
      const Difference from_pillow = compare(name + " pillow", plan, MadeBytes::truncating);
      CHECK(from_pillow.largest <= 1);
      CHECK(from_pillow.mean < (name == "contrast" ? 0.4 : 0.25));
    }
    const CropPlan grey{.box = piece, .photometry = {.grayscale = true}};
    check_close(compare("grey float", grey, MadeBytes::rounding));
    check_close(compare("grey pillow", grey, MadeBytes::rounding));
    CropPlan blurred{.box = piece, .photometry = {.blur_sigma = sigma}};
    check_close(compare("blur bytes", blurred, MadeBytes::rounding));
    blurred.photometry.blur_filter = swav::BlurFilter::box;
    check_close(compare("blur pillow", blurred, MadeBytes::rounding));
  }
}

TEST_CASE("bicubic crops are torchvision's in float, and Pillow's but for its bytes between the axes") {
  for (const std::string photo_name : {"china", "flower"}) {
    CAPTURE(photo_name);
    const Bytes photo = bytes_of(photo_name), of_pillow = bytes_of(photo_name + " bicubic pillow");
    constexpr auto bicubic = swav::Interpolation::bicubic;
    const Bytes found = levels(render(photo, {.box = enlarged, .interpolation = bicubic}), MadeBytes::rounding);
    check_close(difference(photo_name + " bicubic float", found, bytes_of(photo_name + " bicubic float")));
    // Where a row overshoots, Pillow cuts it off before the columns are filtered.
    const Difference from_pillow = difference(photo_name + " bicubic pillow", found, of_pillow);
    CHECK(from_pillow.largest <= 3);
    CHECK(from_pillow.mean < 0.25);
    const Bytes rows = resample_and_turn(cut(photo, enlarged), enlarged.height, {enlarged.width, size, bicubic});
    const Bytes between = resample_and_turn(rows, size, {enlarged.height, size, bicubic});
    const Difference as_pillow = difference(photo_name + " with bytes between", between, of_pillow);
    CHECK(as_pillow.largest <= 1);
    CHECK(as_pillow.mean < 0.01);
  }
}
