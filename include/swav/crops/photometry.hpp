// What happens to a crop's colours. In: strengths and probabilities, random numbers. Out: the drawn factors, and the
// arithmetic of each step on one pixel, values in [0, 1]. Free of any backend; every device calls the same functions.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include "swav/core/error.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/philox.hpp"
#include "swav/crops/geometry.hpp"

namespace swav {

/// Strengths as torchvision's ColorJitter takes them: factors are uniform in [max(0, 1 - s), 1 + s], the hue's turn in
/// [-hue, hue] of a full circle (hue <= 0.5). The four steps come in random order, all of them or (1 - probability)
/// none. A strength of 0 leaves its step out.
struct ColorJitter {
  double brightness = 0.8;
  double contrast = 0.8;
  double saturation = 0.8;
  double hue = 0.2;
  double probability = 0.8;
};

/// gaussian: a true one, cut at three sigma, reflected at the border. box: three extended box filters a direction
/// (Gwosdek et al. 2011) on whole levels of 255, the border repeated: what Pillow's GaussianBlur does, and so the SwAV
/// release. It takes sigma up to 1000 pixels, a Gaussian any.
enum class BlurFilter { gaussian, box };

/// Gaussian blur with sigma uniform in `sigma`, in output pixels.
struct Blur {
  double probability = 0.5;
  Range sigma = {0.1, 2.0};
  BlurFilter filter = BlurFilter::gaussian;
};

/// Values of at least `threshold` are inverted. SwAV does not solarize; recipes that do start here.
struct Solarize {
  double probability = 0.0;
  double threshold = 0.5;
};

/// out = (value - mean) / std, a channel each. The defaults are the SwAV release's; std of the fourth is 1.
struct Normalization {
  std::array<double, 4> mean = {0.485, 0.456, 0.406, 0.0};
  std::array<double, 4> std = {0.228, 0.224, 0.225, 1.0};

  /// Leaves values in [0, 1].
  [[nodiscard]] static constexpr Normalization none() { return {{0, 0, 0, 0}, {1, 1, 1, 1}}; }
};

enum class ColorOperation { brightness, contrast, saturation, hue };

/// One step of a colour jitter: a factor, or for the hue a turn in [-0.5, 0.5].
struct ColorStep {
  ColorOperation operation = ColorOperation::brightness;
  double amount = 1.0;

  friend constexpr bool operator==(const ColorStep&, const ColorStep&) = default;
};

/// The colour steps drawn for one crop, in the order in which they are applied: the jitter's `step_count` steps, grey,
/// blur (sigma 0: none), solarize (threshold above 1: none).
struct Photometry {
  std::array<ColorStep, 4> steps = {};
  int step_count = 0;
  bool grayscale = false;
  double blur_sigma = 0.0;
  BlurFilter blur_filter = BlurFilter::gaussian;
  double solarize_threshold = 2.0;

  friend constexpr bool operator==(const Photometry&, const Photometry&) = default;
};

namespace detail {

inline void check_probability(const char* name, double p) {
  require(p >= 0 && p <= 1, name, ": ", p, " found, 0 to 1 wanted");
}

inline void check_jitter(const ColorJitter& jitter) {
  const auto strength = [](const char* name, double s) {
    require(s >= 0 && std::isfinite(s), name, ": ", s, " found, 0 or more and finite wanted");
  };
  strength("jitter.brightness", jitter.brightness);
  strength("jitter.contrast", jitter.contrast);
  strength("jitter.saturation", jitter.saturation);
  require(jitter.hue >= 0 && jitter.hue <= 0.5, "jitter.hue: ", jitter.hue, " found, 0 to 0.5 wanted");
  check_probability("jitter.probability", jitter.probability);
}

/// Memory and time of a box filter grow with sigma, whatever the crop's size.
inline void check_blur_filter(const char* name, BlurFilter filter, double sigma) {
  require(filter != BlurFilter::box || sigma <= 1000, name, ": ", sigma,
          " found, at most 1000 wanted for a box filter");
}

inline void check_blur(const Blur& blur) {
  check_probability("blur.probability", blur.probability);
  require(blur.sigma.low > 0 && blur.sigma.low <= blur.sigma.high && std::isfinite(blur.sigma.high), "blur.sigma: {",
          blur.sigma.low, ", ", blur.sigma.high, "} found, 0 < low <= high < infinity wanted");
  check_blur_filter("blur.sigma.high", blur.filter, blur.sigma.high);
}

inline void check_normalization(const Normalization& normalization, Index channels) {
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
    require(std::isfinite(normalization.mean[c]), "normalize.mean[", c, "]: ", normalization.mean[c],
            " found, a finite value wanted");
    require(normalization.std[c] > 0 && std::isfinite(normalization.std[c]), "normalize.std[", c,
            "]: ", normalization.std[c], " found, above 0 and finite wanted for an image of ", channels, " channels");
  }
}

/// Draws a jitter's steps into `photometry`.
inline void draw_jitter(const ColorJitter& jitter, PhiloxStream& random, Photometry& photometry) {
  using enum ColorOperation;
  photometry.step_count = 0;
  if (random.uniform() >= jitter.probability) return;
  std::array<ColorOperation, 4> order = {brightness, contrast, saturation, hue};
  for (std::size_t left = 4; left > 1; --left) std::swap(order[left - 1], order[random.below(left)]);
  const auto factor = [&](double strength) { return random.uniform(std::max(0.0, 1.0 - strength), 1.0 + strength); };
  const std::array<double, 4> strengths = {jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue};
  for (const ColorOperation operation : order) {
    const double strength = strengths[static_cast<std::size_t>(operation)];
    if (strength == 0) continue;
    const double amount = operation == hue ? random.uniform(-strength, strength) : factor(strength);
    photometry.steps[static_cast<std::size_t>(photometry.step_count++)] = {operation, amount};
  }
}

// A Value is a float, or several side by side with max() and min() for all of them, which are an instruction each;
// compilers make two of what stands here for floats, since it minds NaN and -0.

template <class Value>
[[nodiscard]] constexpr Value clamp_unit(const Value& x) {
  if constexpr (std::is_same_v<Value, float>) {
    const float positive = x > 0.0f ? x : 0.0f;
    return positive < 1.0f ? positive : 1.0f;
  } else {
    return x.max(0.0f).min(1.0f);
  }
}

/// Luma of ITU-R BT.601, as Pillow and torchvision weigh it.
template <class Value>
[[nodiscard]] constexpr Value luma(const Value& r, const Value& g, const Value& b) {
  return 0.299f * r + 0.587f * g + 0.114f * b;
}

/// factor * x + (1 - factor) * other, clamped: brightness (other = 0), contrast (the mean luma), saturation (the luma).
template <class Value>
[[nodiscard]] constexpr Value blend(const Value& x, const Value& other, float factor) {
  return clamp_unit<Value>(factor * x + (1.0f - factor) * other);
}

/// Turns the hue by `sixths` of a full circle, in [-3, 3], at the same value and saturation (HSV). With h in [0, 6) the
/// turned hue in sixths, D the largest channel minus the smallest, HSV's inverse is the smallest channel plus D times
/// clamp(|h - 3| - 1), clamp(2 - |h - 2|), clamp(2 - |h - 4|) for red, green and blue: value times saturation is D, so
/// that saturation itself is never needed.
SWAV_HOST_DEVICE inline void turn_hue(float& r, float& g, float& b, float sixths) {
  const float rg_high = r > g ? r : g;
  const float rg_low = r < g ? r : g;
  const float high = rg_high > b ? rg_high : b;
  const float low = rg_low < b ? rg_low : b;
  const float range = high - low;
  const float inverse = 1.0f / (range > 0.0f ? range : 1.0f);
  // The hue's sector, and the difference that places it there, by which channel is largest: red, else green, else blue.
  const bool red = r >= high;
  const bool green = g >= b;
  const float minuend = red ? g : (green ? b : r);
  const float subtrahend = red ? b : (green ? r : g);
  const float sector = (red ? 0.0f : (green ? 2.0f : 4.0f)) + sixths;
  const float hue = (minuend - subtrahend) * inverse + sector;  // in [-4, 8]
  const float lifted = hue < 0.0f ? hue + 6.0f : hue;
  const float turned = lifted >= 6.0f ? lifted - 6.0f : lifted;
  // Clamped after the product: a clamp to constants first would be torn into branches, and not vectorise well.
  const auto part = [&](float share) {
    const float product = range * share;
    const float positive = product > 0.0f ? product : 0.0f;
    return positive < range ? positive : range;
  };
  r = low + part(std::abs(turned - 3.0f) - 1.0f);
  g = low + part(2.0f - std::abs(turned - 2.0f));
  b = low + part(2.0f - std::abs(turned - 4.0f));
}

/// How many times each direction is filtered.
[[nodiscard]] constexpr int blur_passes(BlurFilter filter) { return filter == BlurFilter::box ? 3 : 1; }

/// The box filter of which three have the variance of a Gaussian: `whole` pixels to each side count fully, the next
/// ones `part` (Gwosdek et al., "Theoretical foundations of Gaussian convolution by extended box filtering", 2011).
struct ExtendedBox {
  Index whole = 0;
  double part = 0;
};
[[nodiscard]] inline ExtendedBox extended_box(double sigma) {
  const double variance = sigma * sigma / blur_passes(BlurFilter::box);
  const double whole = std::floor((std::sqrt(12 * variance + 1) - 1) / 2);
  const double part =
      (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) * (whole + 1)));
  return {static_cast<Index>(whole), part};
}

/// Half of a filter's width in pixels: a Gaussian to three sigma, and never more than reflection at the border allows.
[[nodiscard]] inline Index blur_radius(const Photometry& photometry, Index size) {
  if (!(photometry.blur_sigma > 0)) return 0;
  if (photometry.blur_filter == BlurFilter::box) return extended_box(photometry.blur_sigma).whole + 1;
  return static_cast<Index>(std::min(std::ceil(3.0 * photometry.blur_sigma), static_cast<double>(size - 1)));
}

/// weights[k] is the weight of the two pixels at distance k, k = 0 .. radius; all 2 radius + 1 sum to 1.
inline void blur_weights(const Photometry& photometry, Index radius, float* weights) {
  const bool is_box = photometry.blur_filter == BlurFilter::box;
  const ExtendedBox box = is_box ? extended_box(photometry.blur_sigma) : ExtendedBox{};
  const auto height = [&](Index k) {
    if (is_box) return k <= box.whole ? 1.0 : box.part;
    const double deviations = static_cast<double>(k) / photometry.blur_sigma;
    return std::exp(-0.5 * deviations * deviations);
  };
  double total = 1.0;
  for (Index k = 1; k <= radius; ++k) total += 2.0 * height(k);
  for (Index k = 0; k <= radius; ++k) weights[k] = static_cast<float>(height(k) / total);
}

}  // namespace detail
}  // namespace swav
