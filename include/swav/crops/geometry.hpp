// Where a crop lies and how it is resampled. In: image and output sizes, ranges, random numbers. Out: boxes, and the
// taps of an antialiased bilinear filter. Free of any backend, so that every device crops the same boxes the same way.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "swav/core/error.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/philox.hpp"

namespace swav {

/// A closed interval to draw from.
struct Range {
  double low = 0.0;
  double high = 1.0;
};

/// A rectangle of whole pixels.
struct Box {
  Index top = 0;
  Index left = 0;
  Index height = 0;
  Index width = 0;

  friend constexpr bool operator==(const Box&, const Box&) = default;
};

namespace detail {

inline void check_crop_ranges(const Range& scale, const Range& aspect) {
  require(scale.low > 0 && scale.low <= scale.high && scale.high <= 1, "scale: {", scale.low, ", ", scale.high,
          "} found, 0 < low <= high <= 1 wanted");
  require(aspect.low > 0 && aspect.low <= aspect.high && std::isfinite(aspect.high), "aspect: {", aspect.low, ", ",
          aspect.high, "} found, 0 < low <= high < infinity wanted");
}

/// draw_box() without its checks.
[[nodiscard]] inline Box draw_checked_box(Index height, Index width, Range scale, Range aspect, PhiloxStream& random) {
  const auto rows = static_cast<double>(height);
  const auto columns = static_cast<double>(width);
  const double log_low = std::log(aspect.low);
  const double log_high = std::log(aspect.high);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = rows * columns * random.uniform(scale.low, scale.high);
    const double ratio = std::exp(random.uniform(log_low, log_high));
    // Halves to even, as Python's round() does.
    const double box_columns = std::nearbyint(std::sqrt(area * ratio));
    const double box_rows = std::nearbyint(std::sqrt(area / ratio));
    if (0 < box_columns && box_columns <= columns && 0 < box_rows && box_rows <= rows) {
      const auto box_height = static_cast<Index>(box_rows);
      const auto box_width = static_cast<Index>(box_columns);
      const auto top = static_cast<Index>(random.below(static_cast<std::uint64_t>(height - box_height + 1)));
      const auto left = static_cast<Index>(random.below(static_cast<std::uint64_t>(width - box_width + 1)));
      return {top, left, box_height, box_width};
    }
  }
  Box box{0, 0, height, width};
  if (columns / rows < aspect.low)
    box.height = static_cast<Index>(std::clamp(std::nearbyint(columns / aspect.low), 1.0, rows));
  else if (columns / rows > aspect.high)
    box.width = static_cast<Index>(std::clamp(std::nearbyint(rows * aspect.high), 1.0, columns));
  box.top = (height - box.height) / 2;
  box.left = (width - box.width) / 2;
  return box;
}

}  // namespace detail

/// The box of a random resized crop (Szegedy et al., "Going deeper with convolutions", 2015, as torchvision's
/// RandomResizedCrop draws it): area uniform in `scale` times the image's area, aspect ratio width / height
/// log-uniform in `aspect`, position uniform among those inside; after ten boxes that do not fit, the centre of the
/// image at the nearest allowed aspect. Throws InvalidInput for an empty image or a reversed or non-positive range.
[[nodiscard]] inline Box draw_box(Index height, Index width, Range scale, Range aspect, PhiloxStream& random) {
  detail::require(height > 0 && width > 0, "draw_box: image of ", height, " x ", width,
                  " pixels found, at least 1 x 1 wanted");
  detail::check_crop_ranges(scale, aspect);
  return detail::draw_checked_box(height, width, scale, aspect, random);
}

/// The filter that crops are resampled with. Bicubic is Keys's with a = -1/2, as PyTorch's with antialias and Pillow's.
/// Where it overshoots, values are clamped to [0, 1] once, after both axes: PyTorch's result in float, clamped. Pillow,
/// and PyTorch on bytes, make bytes between the axes, too, and cut off what overshoots there: they are some levels of
/// 255 off at the few pixels near, within one everywhere else.
enum class Interpolation { bilinear, bicubic };

/// One axis resampled from `in` to `out` pixels by a filter that is widened by the reduction factor where the axis
/// shrinks: what Pillow calls BILINEAR and BICUBIC, and PyTorch the same with antialias. No tap lies outside [0, in).
struct ResampleAxis {
  Index in = 0;
  Index out = 0;
  Interpolation interpolation = Interpolation::bilinear;

  /// Taps that contribute to one output: `count` pixels from `first` on.
  struct Window {
    Index first = 0;
    Index count = 0;
  };

  [[nodiscard]] SWAV_HOST_DEVICE double scale() const { return static_cast<double>(in) / static_cast<double>(out); }
  /// How much wider than between adjacent pixels the filter is.
  [[nodiscard]] SWAV_HOST_DEVICE double reduction() const { return std::max(1.0, scale()); }
  [[nodiscard]] SWAV_HOST_DEVICE double support() const {
    return interpolation == Interpolation::bicubic ? 2 * reduction() : reduction();
  }

  /// An upper bound of Window::count.
  [[nodiscard]] Index max_taps() const { return 2 * static_cast<Index>(std::ceil(support())) + 1; }

  /// The window of output `i`, and its weights, which sum to `sum`, into weights[0 .. count). O(count).
  SWAV_HOST_DEVICE Window window(Index i, float sum, float* weights) const {
    const double center = scale() * (static_cast<double>(i) + 0.5);
    const double reach = support();
    const auto first = static_cast<Index>(std::max(center - reach + 0.5, 0.0));
    const Index last = std::min(static_cast<Index>(center + reach + 0.5), in);
    const auto inverse = static_cast<float>(1.0 / reduction());
    const auto start = static_cast<float>(static_cast<double>(first) + 0.5 - center);
    Index count = last - first;
    float total = 0.0f;
    for (Index k = 0; k < count; ++k) {
      const float distance = std::abs((start + static_cast<float>(k)) * inverse);
      const float weight = interpolation == Interpolation::bicubic ? cubic(distance) : std::max(0.0f, 1.0f - distance);
      weights[k] = weight;
      total += weight;
    }
    const float normalizer = sum / total;
    for (Index k = 0; k < count; ++k) weights[k] *= normalizer;
    while (count > 1 && weights[count - 1] == 0.0f) --count;
    return {first, count};
  }

 private:
  /// Keys, "Cubic convolution interpolation for digital image processing", 1981, equation 15.
  [[nodiscard]] SWAV_HOST_DEVICE static constexpr float cubic(float x) {
    if (x < 1.0f) return (1.5f * x - 2.5f) * x * x + 1.0f;
    return x < 2.0f ? ((2.5f - 0.5f * x) * x - 4.0f) * x + 2.0f : 0.0f;
  }
};

}  // namespace swav
