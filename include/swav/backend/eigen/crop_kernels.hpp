// The CPU's loops over rows of pixels, of which a crop is made. In and out: rows of float planes, padded to whole
// lanes. Lanes of Eigen's, or plain loops over fixed counts, which g++ and clang vectorise.
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstddef>
#include <utility>

#include "swav/crops/geometry.hpp"
#include "swav/crops/photometry.hpp"

namespace swav::detail {

/// Outputs of the horizontal filter that are computed side by side. Eight: with more, more of the filter is zeros than
/// a wider register gains.
inline constexpr Index filter_lanes = 8;
using FilterLanes = Eigen::Array<float, filter_lanes, 1>;

/// Values of a row that a colour step computes side by side; planes' rows are padded to a multiple.
inline constexpr Index row_lanes = 16;
using RowLanes = Eigen::Array<float, row_lanes, 1>;

[[nodiscard]] constexpr Index whole_lanes(Index count) { return (count + row_lanes - 1) / row_lanes * row_lanes; }

[[nodiscard]] inline auto lanes(float* values) { return Eigen::Map<RowLanes, Eigen::Aligned64>(values); }
[[nodiscard]] inline auto lanes(const float* values) { return Eigen::Map<const RowLanes, Eigen::Aligned64>(values); }

/// out[x] = sum of weights[k] * rows(k)[x] over `taps` rows, four at a time.
template <class T>
void combine_rows(const T* first_row, Index row_stride, const float* weights, Index taps, Index count,
                  float* __restrict out) {
  const auto row = [&](Index k) { return first_row + k * row_stride; };
  if (taps == 1) {
    const T* __restrict a = row(0);
    const float wa = weights[0];
    for (Index x = 0; x < count; ++x) out[x] = wa * static_cast<float>(a[x]);
    return;
  }
  Index k = 2;
  if (taps == 2) {
    const T* __restrict a = row(0), * __restrict b = row(1);
    const float wa = weights[0], wb = weights[1];
    for (Index x = 0; x < count; ++x) out[x] = wa * static_cast<float>(a[x]) + wb * static_cast<float>(b[x]);
    return;
  }
  {
    const T* __restrict a = row(0), * __restrict b = row(1), * __restrict c = row(2);
    const float wa = weights[0], wb = weights[1], wc = weights[2];
    for (Index x = 0; x < count; ++x)
      out[x] = wa * static_cast<float>(a[x]) + wb * static_cast<float>(b[x]) + wc * static_cast<float>(c[x]);
    k = 3;
  }
  for (; k + 2 <= taps; k += 2) {
    const T* __restrict a = row(k), * __restrict b = row(k + 1);
    const float wa = weights[k], wb = weights[k + 1];
    for (Index x = 0; x < count; ++x) out[x] += wa * static_cast<float>(a[x]) + wb * static_cast<float>(b[x]);
  }
  if (k < taps) {
    const T* __restrict a = row(k);
    const float wa = weights[k];
    for (Index x = 0; x < count; ++x) out[x] += wa * static_cast<float>(a[x]);
  }
}

/// The horizontal filter as small dense matrices, one for each `filter_lanes` adjacent outputs: block b reads `span`
/// pixels from first[b] on, and its span x filter_lanes weights lie at weights + b * span * filter_lanes. About half of
/// the weights are zero; in exchange nothing is gathered, every block takes as many steps as the next, and the outputs
/// lie side by side as the planes want them.
struct HorizontalFilter {
  const Index* first = nullptr;
  const float* weights = nullptr;
  Index blocks = 0;
  Index span = 0;
};

/// Channel c of row r of the planes, filter_lanes outputs at a time, from `Rows` interleaved rows.
template <int Channels, int Rows>
void filter_rows(const float* source, Index source_stride, const HorizontalFilter& filter, float* planes,
                 Index plane_stride, Index row_stride) {
  const float* __restrict w = filter.weights;
  for (Index b = 0; b < filter.blocks; ++b) {
    const float* __restrict pixel = source + filter.first[b] * Channels;
    FilterLanes sums[Rows * Channels];
    for (FilterLanes& sum : sums) sum.setZero();
    for (Index j = 0; j < filter.span; ++j, w += filter_lanes, pixel += Channels) {
      const FilterLanes weight = Eigen::Map<const FilterLanes, Eigen::Aligned32>(w);
      for (int r = 0; r < Rows; ++r)
        for (int c = 0; c < Channels; ++c) sums[r * Channels + c] += pixel[r * source_stride + c] * weight;
    }
    for (int r = 0; r < Rows; ++r)
      for (int c = 0; c < Channels; ++c)
        Eigen::Map<FilterLanes, Eigen::Aligned32>(planes + c * plane_stride + r * row_stride + b * filter_lanes) =
            sums[r * Channels + c];
  }
}

/// `count` is a multiple of row_lanes here and in saturate_row() and sum_row().
inline void blend_row(float* row, Index count, float factor, float other) {
  const float constant = (1.0f - factor) * other;
  for (Index x = 0; x < count; x += row_lanes)
    lanes(row + x) = clamp_unit<RowLanes>(factor * lanes(row + x) + constant);
}

inline void saturate_row(float* r, float* g, float* b, Index count, float factor) {
  for (Index x = 0; x < count; x += row_lanes) {
    const RowLanes red = lanes(r + x), green = lanes(g + x), blue = lanes(b + x);
    const RowLanes grey = luma(red, green, blue);
    lanes(r + x) = blend(red, grey, factor);
    lanes(g + x) = blend(green, grey, factor);
    lanes(b + x) = blend(blue, grey, factor);
  }
}

inline void turn_hue_row(float* __restrict r, float* __restrict g, float* __restrict b, Index count, float sixths) {
  for (Index x = 0; x < count; ++x) {
    float red = r[x], green = g[x], blue = b[x];
    turn_hue(red, green, blue, sixths);
    r[x] = red;
    g[x] = green;
    b[x] = blue;
  }
}

inline void grey_row(float* __restrict r, float* __restrict g, float* __restrict b, Index count) {
  for (Index x = 0; x < count; ++x) {
    const float grey = luma(r[x], g[x], b[x]);
    r[x] = grey;
    g[x] = grey;
    b[x] = grey;
  }
}

/// Sum of a row in float lanes.
[[nodiscard]] inline double sum_row(const float* row, Index count) {
  RowLanes sum = RowLanes::Zero();
  for (Index x = 0; x < count; x += row_lanes) sum += lanes(row + x);
  return static_cast<double>(sum.sum());
}

/// Values of at least `threshold` inverted.
inline void solarize_row(float* __restrict row, Index count, float threshold) {
  for (Index x = 0; x < count; ++x) row[x] = row[x] >= threshold ? 1.0f - row[x] : row[x];
}

/// out[x] = row[x] * gain + offset.
template <class Out>
void write_row(const float* __restrict row, Index count, float gain, float offset, Out* __restrict out) {
  for (Index x = 0; x < count; ++x) out[x] = static_cast<Out>(row[x] * gain + offset);
}
/// out[stride x] = row[x] * gain + offset.
template <class Out>
void write_row(const float* __restrict row, Index count, float gain, float offset, Out* __restrict out, Index stride) {
  for (Index x = 0; x < count; ++x) out[stride * x] = static_cast<Out>(row[x] * gain + offset);
}

/// To whole levels of 255.
inline void round_row(float* __restrict row, Index count) {
  for (Index x = 0; x < count; ++x)
    row[x] = static_cast<float>(static_cast<int>(clamp_unit(row[x]) * 255.0f + 0.5f)) * (1.0f / 255.0f);
}

/// out[x] = weights[0] center[x] + sum over k of weights[k] (before(k)[x] + after(k)[x]), k = 1 .. Radius, where the
/// rows lie at rows[Radius - k] and rows[Radius + k].
template <std::size_t Radius>
void blur_rows(const float* const* rows, const float* weights, Index count, float* __restrict out) {
  [&]<std::size_t... K>(std::index_sequence<K...>) {
    const std::array<float, Radius + 1> w = {weights[0], weights[K + 1]...};
    const float* center = rows[Radius];
    const std::array<const float*, Radius> before = {rows[Radius - 1 - K]...};
    const std::array<const float*, Radius> after = {rows[Radius + 1 + K]...};
    for (Index x = 0; x < count; ++x) out[x] = ((w[0] * center[x]) + ... + (w[K + 1] * (before[K][x] + after[K][x])));
  }
  (std::make_index_sequence<Radius>{});
}

/// The same for any radius; those up to 6 (sigma 2, SwAV's widest) are compiled for their count.
inline void blur_rows(const float* const* rows, const float* weights, Index radius, Index count,
                      float* __restrict out) {
  switch (radius) {
    case 1:
      return blur_rows<1>(rows, weights, count, out);
    case 2:
      return blur_rows<2>(rows, weights, count, out);
    case 3:
      return blur_rows<3>(rows, weights, count, out);
    case 4:
      return blur_rows<4>(rows, weights, count, out);
    case 5:
      return blur_rows<5>(rows, weights, count, out);
    case 6:
      return blur_rows<6>(rows, weights, count, out);
    default:
      for (Index x = 0; x < count; ++x) out[x] = weights[0] * rows[radius][x];
      for (Index k = 1; k <= radius; ++k)
        for (Index x = 0; x < count; ++x) out[x] += weights[k] * (rows[radius - k][x] + rows[radius + k][x]);
  }
}

}  // namespace swav::detail
