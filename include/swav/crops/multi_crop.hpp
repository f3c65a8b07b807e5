// The multi-crop sampler on the CPU. In: an image in memory and a key. Out: its random views, normalised.
#pragma once

#include "swav/backend/eigen/crop_passes.hpp"
#include "swav/crops/basic_multi_crop.hpp"
#include "swav/crops/recipes.hpp"

namespace swav {

/// basic_multi_crop.hpp documents it.
using MultiCropSampler = BasicMultiCropSampler<EigenDevice>;

}  // namespace swav
