// What crops by Thrust do with one output: the functors of CropPasses. In: an image in the policy's memory, float
// planes of channels x size x size. Out: the same.
#pragma once

#include <cstddef>

#include "swav/core/host_device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/crops/geometry.hpp"
#include "swav/crops/image_view.hpp"
#include "swav/crops/passes.hpp"
#include "swav/crops/photometry.hpp"

namespace swav::detail {

/// The windows of an axis's outputs and their weights, `taps` for each.
struct AxisWindows {
  ResampleAxis::Window* windows;
  float* weights;
  Index taps;
};

/// Called with an output's number; a flip counts them from the other end.
struct MakeWindow {
  ResampleAxis axis;
  Index first, size;
  bool flip;
  float sum;
  AxisWindows to;
  SWAV_HOST_DEVICE void operator()(Index i) const {
    to.windows[i] = axis.window(first + (flip ? size - 1 - i : i), sum, to.weights + i * to.taps);
  }
};

/// Called with an output row and a value of the box's rows: what that row's window makes of the column.
template <class T>
struct CombineRows {
  ImageView<T> image;
  Box box;
  AxisWindows rows;
  float* combined;  // size x (box width x channels)
  SWAV_HOST_DEVICE void operator()(Index y, Index i) const {
    const ResampleAxis::Window window = rows.windows[y];
    const float* const weights = rows.weights + y * rows.taps;
    const T* value = image.data + (box.top + window.first) * image.stride() + box.left * image.channels + i;
    float sum = 0;
    for (Index k = 0; k < window.count; ++k, value += image.stride()) sum += weights[k] * static_cast<float>(*value);
    combined[y * box.width * image.channels + i] = sum;
  }
};

/// Called with a row and a column x channels + channel of the output.
struct CombineColumns {
  const float* combined;
  Index box_width, channels, size;
  AxisWindows columns;
  bool clamps;
  float* planes;
  SWAV_HOST_DEVICE void operator()(Index y, Index i) const { write(y, i / channels, i % channels); }
  SWAV_HOST_DEVICE void write(Index y, Index x, Index channel) const {
    const ResampleAxis::Window window = columns.windows[x];
    const float* const weights = columns.weights + x * columns.taps;
    const float* value = combined + (y * box_width + window.first) * channels + channel;
    float sum = 0;
    for (Index k = 0; k < window.count; ++k, value += channels) sum += weights[k] * *value;
    planes[(channel * size + y) * size + x] = clamps ? clamp_unit(sum) : sum;
  }
};

/// The luma of a pixel, in double; of grey images, their first channel.
struct LumaOfPixel {
  const float* planes;
  Index pixels;
  bool is_color;
  SWAV_HOST_DEVICE double operator()(Index, Index i) const {
    const auto channel = [&](Index c) { return static_cast<double>(planes[c * pixels + i]); };
    return is_color ? 0.299 * channel(0) + 0.587 * channel(1) + 0.114 * channel(2) : channel(0);
  }
};

/// The colour steps first .. last of a pixel, of which only the first may be a contrast; then grey, if asked for.
struct ColorPixel {
  Photometry photometry;
  int first, last;
  bool grayscale;
  const double* luma_sum;  // of all pixels, for the contrast
  float* planes;
  Index pixels;
  bool is_color;
  SWAV_HOST_DEVICE void operator()(Index i) const {
    const Index channels = is_color ? 3 : 1;
    float value[3] = {};
    for (Index c = 0; c < channels; ++c) value[c] = planes[c * pixels + i];
    for (int s = first; s < last; ++s) {
      const ColorStep step = photometry.steps[static_cast<std::size_t>(s)];
      const auto amount = static_cast<float>(step.amount);
      if (step.operation == ColorOperation::hue) {
        if (is_color) turn_hue(value[0], value[1], value[2], 6.0f * amount);
        continue;
      }
      if (step.operation == ColorOperation::saturation && !is_color) continue;
      float other = 0;
      if (step.operation == ColorOperation::contrast)
        other = static_cast<float>(*luma_sum / static_cast<double>(pixels));
      if (step.operation == ColorOperation::saturation) other = luma(value[0], value[1], value[2]);
      for (Index c = 0; c < channels; ++c) value[c] = blend(value[c], other, amount);
    }
    if (grayscale && is_color) value[0] = value[1] = value[2] = luma(value[0], value[1], value[2]);
    for (Index c = 0; c < channels; ++c) planes[c * pixels + i] = value[c];
  }
};

/// A value as a whole level of 255.
SWAV_HOST_DEVICE inline float rounded_level(float x) {
  return static_cast<float>(static_cast<int>(clamp_unit(x) * 255.0f + 0.5f)) * (1.0f / 255.0f);
}

/// One filter along the rows or the columns; called with channel x size + row, and column. A box filter works on whole
/// levels and repeats the border; a Gaussian reflects there.
struct BlurPixel {
  const float* from;
  float* to;
  const float* weights;
  Index radius, size;
  bool along_columns, is_box, rounds_input;
  SWAV_HOST_DEVICE float at(Index plane, Index y, Index x) const {
    const float value = from[(plane * size + y) * size + x];
    return rounds_input ? rounded_level(value) : value;
  }
  SWAV_HOST_DEVICE Index inside(Index i) const {
    if (is_box) return i < 0 ? 0 : (i >= size ? size - 1 : i);
    return i < 0 ? -i : (i >= size ? 2 * (size - 1) - i : i);
  }
  SWAV_HOST_DEVICE void operator()(Index row, Index x) const {
    const Index plane = row / size, y = row % size;
    float sum = weights[0] * at(plane, y, x);
    for (Index k = 1; k <= radius; ++k)
      sum += weights[k] * (along_columns ? at(plane, inside(y - k), x) + at(plane, inside(y + k), x)
                                         : at(plane, y, inside(x - k)) + at(plane, y, inside(x + k)));
    to[row * size + x] = is_box ? rounded_level(sum) : sum;
  }
};

/// Solarised, normalised and written; called with channel x size + row, and column.
template <class Out>
struct FinishPixel {
  const float* planes;
  Out* out;
  Index size, stride, color_channels;  // stride: from a pixel to the next
  float threshold;
  PixelLayout layout;
  float gain[4], offset[4];
  SWAV_HOST_DEVICE void operator()(Index row, Index x) const {
    const Index channel = row / size, y = row % size;
    float value = planes[row * size + x];
    if (threshold <= 1 && channel < color_channels && value >= threshold) value = 1.0f - value;
    const Index place = layout == PixelLayout::planar ? row * size + x : (y * size + x) * stride + channel;
    out[place] = static_cast<Out>(value * gain[channel] + offset[channel]);
  }
};

/// For a plan, but for the planes.
template <class Out>
[[nodiscard]] FinishPixel<Out> finish_of(const CropPlan& plan, Index channels, const Normalization& normalization,
                                         Out* out) {
  FinishPixel<Out> finish{};
  finish.out = out;
  finish.size = plan.size;
  finish.stride = plan.values_a_pixel(channels);
  finish.color_channels = channels >= 3 ? 3 : 1;
  finish.threshold = static_cast<float>(plan.photometry.solarize_threshold);
  finish.layout = plan.layout;
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
    finish.gain[c] = static_cast<float>(1.0 / normalization.std[c]);
    finish.offset[c] = static_cast<float>(-normalization.mean[c] / normalization.std[c]);
  }
  return finish;
}

}  // namespace swav::detail
