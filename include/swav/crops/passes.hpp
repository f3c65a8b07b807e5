// The pass group of the crops. In: an image, a crop's plan. Out: the crop, planar and normalised.
#pragma once

#include "swav/crops/geometry.hpp"
#include "swav/crops/photometry.hpp"

namespace swav {

/// Everything that was drawn for one crop: enough to render it again, anywhere.
struct CropPlan {
  Box box = {};
  Index size = 0;     ///< The output is size x size pixels.
  bool flip = false;  ///< Left and right exchanged.
  Interpolation interpolation = Interpolation::bilinear;
  Photometry photometry = {};

  friend constexpr bool operator==(const CropPlan&, const CropPlan&) = default;
};

namespace detail {

inline void check_plan(const CropPlan& plan, Index height, Index width) {
  const Box& box = plan.box;
  require(box.height > 0 && box.width > 0 && box.top >= 0 && box.left >= 0 && box.height <= height - box.top &&
              box.width <= width - box.left,
          "plan.box: ", box.height, " x ", box.width, " pixels at row ", box.top, ", column ", box.left,
          " found, at least 1 x 1 and inside the image of ", height, " x ", width, " wanted");
  require(plan.size >= 1 && plan.size <= 32768, "plan.size: ", plan.size, " found, 1 to 32768 wanted");
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
  require(photometry.solarize_threshold >= 0, "plan.photometry.solarize_threshold: ", photometry.solarize_threshold,
          " found, 0 or more wanted");
}

}  // namespace detail

/// What a backend provides for crops:
///
///   template <class T, class Out> static void render(const ImageView<T>&, const CropPlan&, const Normalization&, Out*)
///
/// Resamples plan.box to size x size (flipped or not), applies the photometry, normalises, and writes channels x size x
/// size. Arguments are already checked; the result depends on nothing else. Any number of threads may call it at once.
template <class Device>
struct CropPasses;

}  // namespace swav
