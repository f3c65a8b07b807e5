// Crops on the device that a test is built for. In: SWAV_TEST_THRUST. Out: swav::test::MultiCropSampler and
// render_on_device.
#pragma once

#include "swav/crops/multi_crop.hpp"
#include "test_device.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/crop_passes.hpp"
#endif

namespace swav::test {

/// The memory of Thrust's host systems is the host's: images and crops may be in it.
using MultiCropSampler = BasicMultiCropSampler<TestDevice>;

template <class T, class Out>
void render_on_device(const ImageView<T>& image, const CropPlan& plan, const Normalization& normalization, Out* out) {
  swav::render_crop<TestDevice>(image, plan, normalization, out);
}

}  // namespace swav::test
