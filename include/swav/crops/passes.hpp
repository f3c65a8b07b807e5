// The pass group of the crops. In: an image, a crop's plan. Out: the crop, normalised.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>

#include "swav/crops/geometry.hpp"
#include "swav/crops/image_view.hpp"
#include "swav/crops/photometry.hpp"

namespace swav {

/// Where a crop's values lie: channels x size x size, or size x size x channels.
enum class PixelLayout { planar, interleaved };

/// Everything that was drawn for one crop: enough to render it again, anywhere.
struct CropPlan {
  Box box = {};
  Index size = 0;     ///< The output is size x size pixels.
  bool flip = false;  ///< Left and right exchanged.
  Interpolation interpolation = Interpolation::bilinear;
  /// The box is resampled to so many pixels (0: size), of which the output is the window from there on.
  Index resized_height = 0, resized_width = 0, window_top = 0, window_left = 0;
  PixelLayout layout = PixelLayout::planar;
  /// Interleaved: values from a pixel to the next, of which those behind its channels stay as they are; 0: the
  /// channels.
  Index pixel_stride = 0;
  Photometry photometry = {};

  /// Values of the output that belong to a pixel of an image of so many channels.
  [[nodiscard]] constexpr Index values_a_pixel(Index channels) const {
    return pixel_stride > 0 ? pixel_stride : channels;
  }

  friend constexpr bool operator==(const CropPlan&, const CropPlan&) = default;
};

/// The plan of an image to be evaluated, with nothing drawn: its shorter side resampled to `resize` pixels, the other
/// by the same factor, and the size x size pixels in the middle. What torchvision's Resize and CenterCrop do, in one
/// operation. Throws InvalidInput for an empty image or unless 1 <= size <= resize.
[[nodiscard]] inline CropPlan center_crop(Index height, Index width, Index resize = 256, Index size = 224,
                                          Interpolation interpolation = Interpolation::bilinear) {
  detail::require(height > 0 && width > 0, "center_crop: image of ", height, " x ", width,
                  " pixels found, at least 1 x 1 wanted");
  detail::require(size >= 1 && size <= resize && resize <= 32768, "center_crop: size ", size, " and resize ", resize,
                  " found, 1 <= size <= resize <= 32768 wanted");
  const auto resized = [&](Index side, Index other) { return side <= other ? resize : resize * side / other; };
  // Halves to even, as Python's round() does.
  const auto middle = [&](Index side) {
    return static_cast<Index>(std::nearbyint(static_cast<double>(side - size) / 2));
  };
  CropPlan plan{.box = {0, 0, height, width}, .size = size, .interpolation = interpolation};
  plan.resized_height = resized(height, width);
  plan.resized_width = resized(width, height);
  detail::require(std::max(plan.resized_height, plan.resized_width) <= 1'000'000, "center_crop: image of ", height,
                  " x ", width, " pixels to be resized to ", plan.resized_height, " x ", plan.resized_width,
                  " found, at most 1000000 a side wanted");
  plan.window_top = middle(plan.resized_height);
  plan.window_left = middle(plan.resized_width);
  return plan;
}

/// One crop among several: an image and its output, in the device's memory, and what is made of it.
template <Pixel T, class Out>
struct CropJob {
  ImageView<T> image;
  CropPlan plan;
  const Normalization* normalization;
  Out* out;
};

namespace detail {

inline void check_pixel_stride(PixelLayout layout, Index stride, Index channels) {
  require(stride == 0 || (layout == PixelLayout::interleaved && stride >= channels), "pixel_stride: ", stride,
          " found, 0, or of an interleaved output ", channels, " (the channels) or more wanted");
}

/// Pixels that an axis of the box is resampled to.
[[nodiscard]] constexpr Index resized_side(Index resized, Index size) { return resized > 0 ? resized : size; }

inline void check_plan(const CropPlan& plan, Index height, Index width) {
  const Box& box = plan.box;
  require(box.height > 0 && box.width > 0 && box.top >= 0 && box.left >= 0 && box.height <= height - box.top &&
              box.width <= width - box.left,
          "plan.box: ", box.height, " x ", box.width, " pixels at row ", box.top, ", column ", box.left,
          " found, at least 1 x 1 and inside the image of ", height, " x ", width, " wanted");
  require(plan.size >= 1 && plan.size <= 32768, "plan.size: ", plan.size, " found, 1 to 32768 wanted");
  const auto check_window = [&](const char* side, Index resized, Index first) {
    const Index pixels = resized_side(resized, plan.size);
    require(first >= 0 && pixels <= 1'000'000 && first <= pixels - plan.size, "plan.resized_", side, ": ", pixels,
            " pixels and a window of ", plan.size, " from ", first,
            " found, a window inside of at most 1000000 wanted");
  };
  check_window("height", plan.resized_height, plan.window_top);
  check_window("width", plan.resized_width, plan.window_left);
  const Photometry& photometry = plan.photometry;
  require(photometry.step_count >= 0 && photometry.step_count <= 4,
          "plan.photometry.step_count: ", photometry.step_count, " found, 0 to 4 wanted");
  for (int s = 0; s < photometry.step_count; ++s) {
    const ColorStep& step = photometry.steps[static_cast<std::size_t>(s)];
    const bool hue = step.operation == ColorOperation::hue;
    require(hue ? step.amount >= -0.5 && step.amount <= 0.5 : step.amount >= 0 && std::isfinite(step.amount),
            "plan.photometry.steps[", s, "]: amount ", step.amount, " found, ",
            hue ? "a hue's turn in [-0.5, 0.5]" : "a finite factor of 0 or more", " wanted");
  }
  require(photometry.blur_sigma >= 0 && std::isfinite(photometry.blur_sigma),
          "plan.photometry.blur_sigma: ", photometry.blur_sigma, " found, 0 (no blur) or more and finite wanted");
  check_blur_filter("plan.photometry.blur_sigma", photometry.blur_filter, photometry.blur_sigma);
  require(photometry.solarize_threshold >= 0, "plan.photometry.solarize_threshold: ", photometry.solarize_threshold,
          " found, 0 or more wanted");
}

}  // namespace detail

/// What a backend provides for crops:
///
///   template <class T, class Out>
///   static void render(device, const ImageView<T>&, const CropPlan&, const Normalization&, Out*)
///   and, where many crops at once are faster, render_all(device, std::span<const CropJob<T, Out>>)
///
///   static Index first_bad_row(device, const ImageView<float>&)    a row with a value that is not finite, or -1
///
/// Resamples plan.box to the window of size x size (flipped or not), applies the photometry, normalises, and writes it
/// in plan.layout. Arguments are already checked; the result depends on nothing else. Any number of threads may call it
/// at once. The image and the crop are in the device's memory.
template <class Device>
struct CropPasses;

namespace detail {

/// Throws InvalidInput unless the image is well formed and its values are finite. The last needs one pass over a float
/// image; bytes are always finite.
template <class Device, Pixel T>
void check_pixels(const Device& device, const ImageView<T>& image) {
  check_image(image);
  if constexpr (std::same_as<T, float>) {
    const Index bad = CropPasses<Device>::first_bad_row(device, image);
    require(bad < 0, "image: a value that is not finite found in row ", bad, ", finite values wanted");
  }
}

}  // namespace detail

}  // namespace swav
