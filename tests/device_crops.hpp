// Crops on the device that a test is built for, with host memory on both sides. In: SWAV_TEST_THRUST or SWAV_TEST_CUDA.
// Out: swav::test::MultiCropSampler and render_on_device.
#pragma once

#include <algorithm>

#include "swav/crops/multi_crop.hpp"
#include "test_device.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/crop_passes.hpp"
#endif

namespace swav::test {

#ifndef SWAV_TEST_CUDA

/// The memory of Thrust's host systems is the host's: images and crops may be in it.
using MultiCropSampler = BasicMultiCropSampler<TestDevice>;

template <class T, class Out>
void render_on_device(const ImageView<T>& image, const CropPlan& plan, const Normalization& normalization, Out* out) {
  swav::render_crop<TestDevice>(image, plan, normalization, out);
}

#else

/// What is drawn is drawn by the host.
using MultiCropSampler = swav::MultiCropSampler;

template <class T, class Out>
void render_on_device(const ImageView<T>& image, const CropPlan& plan, const Normalization& normalization, Out* out) {
  const CudaDevice device;
  Copies copies;
  ImageView<T> on = image;
  on.data = copies(MatrixView<const T>(image.data, image.height, image.width * image.channels, image.stride())).data;
  const Index size = std::clamp<Index>(plan.size, 1, 1024);  // of a plan that is refused, any
  CudaMatrix<DeviceScalar<Out> > crop(std::max<Index>(image.channels, 1) * size, size);
  render_crop<CudaDevice>(on, plan, normalization, crop.data(), device);
  device.synchronize();
  const RowMatrix<Out> host = on_host<Out>(crop);
  std::copy_n(host.data(), host.size(), out);
}

#endif

}  // namespace swav::test
