// What published methods do to their views, as options of the sampler. In: sizes. Out: specs to use or to change.
#pragma once

#include <vector>

#include "swav/crops/basic_multi_crop.hpp"

namespace swav {

/// SwAV (Caron et al. 2020), as its release trains ImageNet: two large views and six small ones.
[[nodiscard]] inline std::vector<CropSpec> swav_crops(Index large = 224, Index small = 96) {
  return {{.count = 2, .size = large, .scale = {0.14, 1.0}}, {.count = 6, .size = small, .scale = {0.05, 0.14}}};
}

/// SimCLR (Chen et al. 2020, appendix A): two views alike.
[[nodiscard]] inline std::vector<CropSpec> simclr_crops(Index size = 224) {
  return {{.count = 2, .size = size, .scale = {0.08, 1.0}, .interpolation = Interpolation::bicubic}};
}

/// BYOL (Grill et al. 2020, appendix B): the first view always blurred, the second seldom, and solarized at times.
/// Barlow Twins (Zbontar et al. 2021) and VICReg use the same.
[[nodiscard]] inline std::vector<CropSpec> byol_crops(Index size = 224) {
  CropSpec first{.count = 1, .size = size, .scale = {0.08, 1.0}, .interpolation = Interpolation::bicubic};
  first.jitter = {.brightness = 0.4, .contrast = 0.4, .saturation = 0.2, .hue = 0.1};
  CropSpec second = first;
  first.blur.probability = 1.0;
  second.blur.probability = 0.1;
  second.solarize.probability = 0.2;
  return {first, second};
}

/// For images of about 32 pixels, as is usual with CIFAR: two views without blur.
[[nodiscard]] inline std::vector<CropSpec> cifar_crops(Index size = 32) {
  CropSpec spec{.count = 2, .size = size, .scale = {0.2, 1.0}};
  spec.jitter = {.brightness = 0.4, .contrast = 0.4, .saturation = 0.2, .hue = 0.1};
  spec.blur.probability = 0;
  return {spec};
}

}  // namespace swav
