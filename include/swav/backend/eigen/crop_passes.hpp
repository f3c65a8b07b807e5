// Crops on the CPU. In: an image, a crop's plan. Out: the crop, normalised. One crop is one thread's work: a
// few rows are resampled at a time and coloured while they are in the nearest cache; only the contrast's mean and the
// blur's columns need another pass over the (small) output.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <utility>

#include "swav/backend/eigen/crop_kernels.hpp"
#include "swav/backend/eigen/device.hpp"
#include "swav/crops/image_view.hpp"
#include "swav/crops/passes.hpp"

namespace swav {
namespace detail {

/// A thread's working memory for crops; it only grows, and one crop asks for as much as any crop of that size from an
/// image of that size needs: after its first image a thread allocates nothing.
struct CropWorkspace {
  template <class T>
  using Buffer = typename BasicEigenDevice<EigenProduct>::template Buffer<T>;

  Buffer<ResampleAxis::Window> windows;
  Buffer<Index> first;     // of a HorizontalFilter
  Buffer<float> filter;    // its weights
  Buffer<float> taps;      // as ResampleAxis gives them
  Buffer<float> combined;  // interleaved source rows, filtered vertically
  Buffer<float> planes;
  Buffer<float> blurred;  // a plane between two box filters
  Buffer<float> border;   // a row and its reflections
  Buffer<const float*> rows;
};

inline CropWorkspace& crop_workspace() {
  static thread_local CropWorkspace workspace;
  return workspace;
}

template <class T, class Out, int Channels>
class CropRenderer {
 public:
  CropRenderer(const ImageView<T>& image, const CropPlan& plan, const Normalization& normalization, Out* out)
      : image_(image),
        plan_(plan),
        photometry_(plan.photometry),
        out_(out),
        size_(plan.size),
        stride_(whole_lanes(plan.size)),
        plane_(plan.size * whole_lanes(plan.size)),
        radius_(blur_radius(plan.photometry, plan.size)),
        is_box_(plan.photometry.blur_filter == BlurFilter::box),
        planes_(work_.planes.reserve(Channels * plane_)) {
    for (std::size_t c = 0; c < Channels; ++c) {
      gain_[c] = static_cast<float>(1.0 / normalization.std[c]);
      offset_[c] = static_cast<float>(-normalization.mean[c] / normalization.std[c]);
    }
  }

  void render() {
    prepare_blur();
    int first = 0;
    int last = next_contrast(first);
    resample(last);
    while (last < photometry_.step_count) {
      const auto pixels = static_cast<double>(size_) * static_cast<double>(size_);
      const auto mean = static_cast<float>(luma_sum_ / pixels);
      luma_sum_ = 0;
      first = last;
      last = next_contrast(first + 1);
      for (Index y = 0; y < size_; ++y) {
        for (int c = 0; c < color_channels; ++c)
          blend_row(row(c, y), stride_, static_cast<float>(step(first).amount), mean);
        color_row(y, first + 1, last);
      }
    }
    if (radius_ > 0) blur_columns();
  }

 private:
  /// Rows that are resampled together: 4 x 3 sums fit the registers of AVX.
  static constexpr int row_group = 4;
  static constexpr bool is_color = Channels >= 3;
  static constexpr int color_channels = is_color ? 3 : 1;

  [[nodiscard]] float* row(int channel, Index y) const { return planes_ + channel * plane_ + y * stride_; }
  [[nodiscard]] const ColorStep& step(int s) const { return photometry_.steps[static_cast<std::size_t>(s)]; }

  [[nodiscard]] int next_contrast(int from) const {
    while (from < photometry_.step_count && step(from).operation != ColorOperation::contrast) ++from;
    return from;
  }

  /// An axis of the whole image: no box needs more taps.
  [[nodiscard]] ResampleAxis longest(Index in) const { return {in, size_, plan_.interpolation}; }

  /// A flip reverses the order of the outputs. Outputs that only pad the last block have no weights.
  [[nodiscard]] HorizontalFilter prepare_filter() {
    const ResampleAxis axis{plan_.box.width, resized_side(plan_.resized_width, size_), plan_.interpolation};
    const ResampleAxis widest = longest(image_.width);
    const Index blocks = stride_ / filter_lanes;
    const Index taps_each = axis.max_taps();
    float* taps = work_.taps.reserve(size_ * widest.max_taps());
    ResampleAxis::Window* windows = work_.windows.reserve(size_);
    Index* first = work_.first.reserve(blocks);
    Index span = 0;
    for (Index b = 0; b < blocks; ++b) {
      Index last = 0;
      first[b] = axis.in;
      for (Index x = b * filter_lanes; x < std::min((b + 1) * filter_lanes, size_); ++x) {
        windows[x] = axis.window(plan_.window_left + (plan_.flip ? size_ - 1 - x : x), 1.0f, taps + x * taps_each);
        first[b] = std::min(first[b], windows[x].first);
        last = std::max(last, windows[x].first + windows[x].count);
      }
      span = std::max(span, last - first[b]);
    }
    // Centres of a block's outputs are filter_lanes - 1 steps apart; a window reaches half its taps beyond them.
    const auto centers = static_cast<Index>(std::ceil(widest.scale() * static_cast<double>(filter_lanes - 1)));
    float* weights = work_.filter.reserve(blocks * (centers + widest.max_taps()) * filter_lanes);
    std::fill_n(weights, blocks * span * filter_lanes, 0.0f);
    for (Index b = 0; b < blocks; ++b) first[b] = std::min(first[b], axis.in - span);
    for (Index x = 0; x < size_; ++x) {
      const Index b = x / filter_lanes;
      float* column = weights + (b * span + windows[x].first - first[b]) * filter_lanes + x % filter_lanes;
      for (Index k = 0; k < windows[x].count; ++k) column[k * filter_lanes] = taps[x * taps_each + k];
    }
    return {first, weights, blocks, span};
  }

  /// Fills the planes, and takes each row through the steps before `last`, the first contrast.
  void resample(int last) {
    const HorizontalFilter filter = prepare_filter();
    const ResampleAxis axis{plan_.box.height, resized_side(plan_.resized_height, size_), plan_.interpolation};
    float* taps = work_.taps.reserve(longest(image_.height).max_taps());
    const Index count = plan_.box.width * Channels;
    const Index combined_stride = whole_lanes(count);
    float* combined = work_.combined.reserve(std::max(row_group * whole_lanes(image_.width * Channels), stride_));
    constexpr float unit = std::same_as<T, std::uint8_t> ? 1.0f / 255.0f : 1.0f;
    for (Index y = 0; y < size_; y += row_group) {
      const Index group = std::min<Index>(row_group, size_ - y);
      for (Index r = 0; r < group; ++r) {
        const ResampleAxis::Window window = axis.window(plan_.window_top + y + r, unit, taps);
        const T* source = image_.row(plan_.box.top + window.first) + plan_.box.left * Channels;
        combine_rows(source, image_.stride(), taps, window.count, count, combined + r * combined_stride);
      }
      if (group == row_group)
        filter_rows<Channels, row_group>(combined, combined_stride, filter, row(0, y), plane_, stride_);
      else
        for (Index r = 0; r < group; ++r)
          filter_rows<Channels, 1>(combined + r * combined_stride, combined_stride, filter, row(0, y + r), plane_,
                                   stride_);
      for (Index r = 0; r < group; ++r) {
        if (plan_.interpolation == Interpolation::bicubic)
          for (int c = 0; c < Channels; ++c) blend_row(row(c, y + r), stride_, 1.0f, 0.0f);
        color_row(y + r, 0, last);
      }
    }
  }

  /// Steps first .. last of row y; then either the sum that a contrast at `last` needs, or what comes after the jitter.
  void color_row(Index y, int first, int last) {
    float* r = row(0, y);
    float* g = is_color ? row(1, y) : nullptr;
    float* b = is_color ? row(2, y) : nullptr;
    for (int s = first; s < last; ++s) {
      const auto amount = static_cast<float>(step(s).amount);
      if (step(s).operation == ColorOperation::brightness) {
        for (int c = 0; c < color_channels; ++c) blend_row(row(c, y), stride_, amount, 0.0f);
      } else if constexpr (is_color) {
        if (step(s).operation == ColorOperation::saturation)
          saturate_row(r, g, b, stride_, amount);
        else
          turn_hue_row(r, g, b, stride_, 6.0f * amount);
      }
    }
    if (last < photometry_.step_count) {
      luma_sum_ += is_color ? 0.299 * sum(r) + 0.587 * sum(g) + 0.114 * sum(b) : sum(r);
      return;
    }
    if constexpr (is_color)
      if (photometry_.grayscale) grey_row(r, g, b, stride_);
    for (int c = 0; c < Channels; ++c) {
      if (radius_ > 0)
        blur_row(row(c, y));
      else
        finish_row(row(c, y), c, y);
    }
  }

  /// The padding is 0 before the first contrast and must not be counted after it.
  [[nodiscard]] double sum(const float* values) const {
    const Index whole = size_ / row_lanes * row_lanes;
    double total = sum_row(values, whole);
    for (Index x = whole; x < size_; ++x) total += static_cast<double>(values[x]);
    return total;
  }

  void prepare_blur() {
    const Index widest = std::max(size_ - 1, radius_);  // a Gaussian has no more than the first
    float* weights = work_.border.reserve(whole_lanes(widest + 1) + size_ + 2 * widest);
    work_.rows.reserve(2 * widest + 1);
    if (radius_ > 0) blur_weights(photometry_, radius_, weights);
    if (is_box_) work_.blurred.reserve(plane_);
  }
  [[nodiscard]] const float* weights() const { return work_.border.data(); }

  /// The pixel that stands for one outside: the border repeated, or reflection without repeating it, as torchvision's
  /// and NumPy's "reflect".
  [[nodiscard]] Index inside(Index i) const {
    if (is_box_) return std::clamp<Index>(i, 0, size_ - 1);
    return i < 0 ? -i : (i >= size_ ? 2 * (size_ - 1) - i : i);
  }

  void blur_row(float* values) {
    if (is_box_) round_row(values, size_);
    float* border = work_.border.data() + whole_lanes(radius_ + 1);
    const float** rows = work_.rows.data();
    for (int pass = 0; pass < blur_passes(photometry_.blur_filter); ++pass) {
      std::copy_n(values, size_, border + radius_);
      for (Index k = 1; k <= radius_; ++k) {
        border[radius_ - k] = values[inside(-k)];
        border[radius_ + size_ - 1 + k] = values[inside(size_ - 1 + k)];
      }
      for (Index k = 0; k <= 2 * radius_; ++k) rows[k] = border + k;
      blur_rows(rows, weights(), radius_, size_, values);
      if (is_box_) round_row(values, size_);
    }
  }

  void blur_columns() {
    const float** rows = work_.rows.data();
    const auto blur = [&](const float* plane, Index y, float* out) {
      for (Index k = -radius_; k <= radius_; ++k) rows[radius_ + k] = plane + inside(y + k) * stride_;
      blur_rows(rows, weights(), radius_, size_, out);
      if (is_box_) round_row(out, size_);
    };
    for (int c = 0; c < Channels; ++c) {
      float* from = row(c, 0);
      float* to = work_.blurred.data();
      for (int pass = 1; pass < blur_passes(photometry_.blur_filter); ++pass, std::swap(from, to))
        for (Index y = 0; y < size_; ++y) blur(from, y, to + y * stride_);
      for (Index y = 0; y < size_; ++y) {
        blur(from, y, work_.combined.data());
        finish_row(work_.combined.data(), c, y);
      }
    }
  }

  void finish_row(float* values, int channel, Index y) {
    if (photometry_.solarize_threshold <= 1 && channel < color_channels)
      solarize_row(values, size_, static_cast<float>(photometry_.solarize_threshold));
    const float gain = gain_[static_cast<std::size_t>(channel)], offset = offset_[static_cast<std::size_t>(channel)];
    const Index stride = plan_.values_a_pixel(Channels);
    if (plan_.layout == PixelLayout::planar)
      write_row(values, size_, gain, offset, out_ + (channel * size_ + y) * size_);
    else
      write_row(values, size_, gain, offset, out_ + y * size_ * stride + channel, stride);
  }

  CropWorkspace& work_ = crop_workspace();
  const ImageView<T>& image_;
  const CropPlan& plan_;
  const Photometry& photometry_;
  Out* out_;
  Index size_;
  Index stride_;
  Index plane_;
  Index radius_;
  bool is_box_;
  float* planes_;
  std::array<float, Channels> gain_{};
  std::array<float, Channels> offset_{};
  double luma_sum_ = 0;
};

}  // namespace detail

template <class Product>
struct CropPasses<BasicEigenDevice<Product>> {
  template <Pixel T, class Out>
  static void render(const BasicEigenDevice<Product>&, const ImageView<T>& image, const CropPlan& plan,
                     const Normalization& normalization, Out* out) {
    switch (image.channels) {
      case 1:
        return detail::CropRenderer<T, Out, 1>(image, plan, normalization, out).render();
      case 2:
        return detail::CropRenderer<T, Out, 2>(image, plan, normalization, out).render();
      case 3:
        return detail::CropRenderer<T, Out, 3>(image, plan, normalization, out).render();
      default:
        return detail::CropRenderer<T, Out, 4>(image, plan, normalization, out).render();
    }
  }

  static Index first_bad_row(const BasicEigenDevice<Product>&, const ImageView<float>& image) {
    const Index count = image.width * image.channels;
    for (Index y = 0; y < image.height; ++y) {
      const float* row = image.row(y);
      // value * 0 is 0 for a finite value and NaN for any other; eight independent sums let the compiler vectorise.
      float zero[8] = {};
      Index x = 0;
      for (; x + 8 <= count; x += 8)
        for (Index lane = 0; lane < 8; ++lane) zero[lane] += row[x + lane] * 0.0f;
      for (; x < count; ++x) zero[0] += row[x] * 0.0f;
      for (const float sum : zero)
        if (sum != 0.0f) return y;
    }
    return -1;
  }
};

}  // namespace swav
