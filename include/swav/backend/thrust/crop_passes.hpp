// Crops by Thrust. In: an image in the policy's memory, a crop's plan. Out: the crop, normalised. The steps are those
// of the CPU; colour steps between two contrasts are one algorithm.
#pragma once

#include <thrust/functional.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <utility>
#include <vector>

#include "swav/backend/thrust/crop_pixels.hpp"
#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/core/host_device.hpp"
#include "swav/crops/image_view.hpp"
#include "swav/crops/passes.hpp"

namespace swav {

template <class Policy>
struct CropPasses<ThrustDevice<Policy>> {
  using Device = ThrustDevice<Policy>;

  template <Pixel T, class Out>
  static void render(const Device& device, const ImageView<T>& image, const CropPlan& plan,
                     const Normalization& normalization, Out* out) {
    static thread_local Workspace workspace;
    Workspace& w = workspace;
    w.device = device;
    w.reserve(image.height, image.width, image.channels, plan);
    resample(image, plan, w);
    color(plan, image.channels, w);
    blur(plan, image.channels, w);
    detail::FinishPixel<Out> finish = detail::finish_of(plan, image.channels, normalization, out);
    finish.planes = w.planes.data();
    detail::for_each_entry(w.device.policy(), image.channels * plan.size, plan.size, finish);
  }

  static Index first_bad_row(const Device& on, const ImageView<float>& image) {
    const Device device(on);  // with scratch of its own: any number of threads may be here
    const Index values = image.width * image.channels;
    const auto row_of_bad = [=] SWAV_HOST_DEVICE(Index i) {
      const float value = image.data[i / values * image.stride() + i % values];
      return value - value == 0.0f ? image.height : i / values;
    };
    const Index row =
        detail::reduce_indices(device, image.height * values, row_of_bad, image.height, detail::Smaller<Index>());
    return row < image.height ? row : Index{-1};
  }

 private:
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  /// A thread's; it only grows, and one crop asks for as much as any crop of that size from an image of that size
  /// needs.
  struct Workspace {
    Device device;  // for its scratch
    Buffer<ResampleAxis::Window> row_windows, column_windows;
    Buffer<float> row_weights, column_weights;
    Buffer<float> combined;         // rows of the output, columns of the box, interleaved
    Buffer<float> planes, blurred;  // channels x size x size
    Buffer<float> blur_weights;
    Buffer<double> luma_sum;
    std::vector<float> host_weights;

    void reserve(Index height, Index width, Index channels, const CropPlan& plan) {
      const Index size = plan.size, pixels = size * size;
      row_windows.reserve(size);
      column_windows.reserve(size);
      row_weights.reserve(size * ResampleAxis{height, size, plan.interpolation}.max_taps());
      column_weights.reserve(size * ResampleAxis{width, size, plan.interpolation}.max_taps());
      combined.reserve(size * width * channels);
      planes.reserve(channels * pixels);
      blurred.reserve(channels * pixels);
      const Index widest = std::max(size - 1, detail::blur_radius(plan.photometry, size)) + 1;
      blur_weights.reserve(widest);
      if (static_cast<Index>(host_weights.size()) < widest) host_weights.resize(static_cast<std::size_t>(widest));
      luma_sum.reserve(1);
      detail::reserve_for_rows<double>(device, 1, pixels);
    }
  };

  template <class T>
  static void resample(const ImageView<T>& image, const CropPlan& plan, Workspace& w) {
    const auto make = [&](Index in, Index resized, Index first, bool flip, float sum, auto& windows, auto& weights) {
      const ResampleAxis axis{in, detail::resized_side(resized, plan.size), plan.interpolation};
      const detail::AxisWindows to{windows.data(), weights.data(), axis.max_taps()};
      detail::for_each_index(w.device.policy(), plan.size, detail::MakeWindow{axis, first, plan.size, flip, sum, to});
      return to;
    };
    constexpr float unit = std::same_as<T, std::uint8_t> ? 1.0f / 255.0f : 1.0f;
    const Box& box = plan.box;
    const detail::AxisWindows rows =
        make(box.height, plan.resized_height, plan.window_top, false, unit, w.row_windows, w.row_weights);
    const detail::AxisWindows columns =
        make(box.width, plan.resized_width, plan.window_left, plan.flip, 1.0f, w.column_windows, w.column_weights);
    detail::for_each_entry(w.device.policy(), plan.size, box.width * image.channels,
                           detail::CombineRows<T>{image, box, rows, w.combined.data()});
    detail::for_each_entry(w.device.policy(), plan.size, plan.size * image.channels,
                           detail::CombineColumns{w.combined.data(), box.width, image.channels, plan.size, columns,
                                                  plan.interpolation == Interpolation::bicubic, w.planes.data()});
  }

  static void color(const CropPlan& plan, Index channels, Workspace& w) {
    const Photometry& photometry = plan.photometry;
    const Index pixels = plan.size * plan.size;
    const bool is_color = channels >= 3;
    const auto is_contrast = [&](int s) {
      return photometry.steps[static_cast<std::size_t>(s)].operation == ColorOperation::contrast;
    };
    int first = 0;
    do {
      if (first < photometry.step_count && is_contrast(first))
        detail::reduce_rows(w.device, 1, pixels, detail::LumaOfPixel{w.planes.data(), pixels, is_color},
                            thrust::plus<double>(), w.luma_sum.data());
      int last = std::min(first + 1, photometry.step_count);
      while (last < photometry.step_count && !is_contrast(last)) ++last;
      const bool grayscale = photometry.grayscale && last == photometry.step_count;
      if (last > first || grayscale)
        detail::for_each_index(w.device.policy(), pixels,
                               detail::ColorPixel{photometry, first, last, grayscale, w.luma_sum.data(),
                                                  w.planes.data(), pixels, is_color});
      first = last;
    } while (first < photometry.step_count);
  }

  static void blur(const CropPlan& plan, Index channels, Workspace& w) {
    const Photometry& photometry = plan.photometry;
    const Index radius = detail::blur_radius(photometry, plan.size);
    if (radius == 0) return;
    detail::blur_weights(photometry, radius, w.host_weights.data());
    detail::upload(w.device.policy(), w.host_weights.data(), radius + 1, w.blur_weights.data());
    const bool is_box = photometry.blur_filter == BlurFilter::box;
    const int passes = detail::blur_passes(photometry.blur_filter);
    for (int pass = 0; pass < 2 * passes; ++pass) {
      detail::for_each_entry(w.device.policy(), channels * plan.size, plan.size,
                             detail::BlurPixel{w.planes.data(), w.blurred.data(), w.blur_weights.data(), radius,
                                               plan.size, pass >= passes, is_box, is_box && pass == 0});
      std::swap(w.planes, w.blurred);
    }
  }
};

}  // namespace swav
