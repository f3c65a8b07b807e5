// Weight gradients: dW[i][o] = sum over pixels of x[i][pixel + tap] dy[o][pixel]. In and out: see the header.
// Two pixels make one dot product of bfloat16 pairs: the inputs are transposed so that a channel's pixels are adjacent
// (a pair is one 32-bit broadcast at any offset), the output gradients are interleaved by pairs of pixels.
#include "engine/weight_gradient.hpp"

#include <algorithm>
#include <cstring>

#ifdef __AVX512BF16__
#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 takes its own _mm512_undefined_* for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

namespace swav::resnet {
namespace {

#ifdef __AVX512BF16__
constexpr bool available = true;
#else
constexpr bool available = false;
#endif

constexpr Index block = 16;
/// The most weights that are summed by every thread on its own; beyond, oneDNN is as fast.
constexpr Index most_weights = 9 * 256 * 512;

Index rounded_up(Index value, Index multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

bool WeightGradient::suits(const ChannelLayout& input, const ChannelLayout& output, Index kernel, Index stride,
                           Precision precision) {
  return available && precision == Precision::bfloat16 && input.blocking == Blocking::by16 &&
         input.channels % block == 0 && output.channels % block == 0 && (kernel == 1 || kernel == 3) && stride <= 2 &&
         kernel * kernel * input.channels * output.channels <= most_weights;
}

WeightGradient::WeightGradient(const ChannelLayout& input, const ChannelLayout& output, Index kernel, Index stride,
                               int threads)
    : input_(input),
      output_(output),
      kernel_(kernel),
      stride_(stride),
      padding_((kernel - 1) / 2),
      threads_(static_cast<int>(std::min<Index>(threads, input.images))),
      group_(std::clamp<Index>(256 / output.pixels(), 1, (input.images + threads_ - 1) / threads_)),
      pairs_((output.size + 1) / 2),
      odd_(0) {
  // A row is written in runs of 16 pixels, zeros behind its end, and read up to two pixels past the last pair.
  const Index run = rounded_up((input.size + stride - 1) / stride, block) + 2;
  odd_ = stride == 2 ? run : 0;
  row_pitch_ = stride == 2 ? 2 * run : std::max(input.size + 2, 2 * pairs_ + 2);
  channel_pitch_ = rounded_up(input.size * row_pitch_ + 32, 32) + 16;
}

Index WeightGradient::weights() const { return kernel_ * kernel_ * input_.channels * output_.channels; }

std::size_t WeightGradient::scratch_bytes() const {
  const Index transposed = rounded_up(group_ * input_.channels * channel_pitch_ * 2, 64);
  const Index paired = group_ * output_.channels * output_.size * pairs_ * 4;
  return static_cast<std::size_t>(threads_ * (transposed + paired + weights() * 4));
}

dnnl::memory::desc WeightGradient::desc() const {
  return {{output_.channels, input_.channels, kernel_, kernel_},
          dnnl::memory::data_type::f32,
          dnnl::memory::format_tag::OIhw16i16o};
}

#ifdef __AVX512BF16__
namespace {

using Pixels = std::uint16_t;

/// Two pixels of 16 channels; `left` of them are inside, the rest are zeros.
__m512i load_two(const Pixels* from, Index left) {
  const __mmask32 mask = left >= 2 ? 0xFFFFFFFFu : left == 1 ? 0xFFFFu : 0u;
  return _mm512_maskz_loadu_epi16(mask, from);
}

/// Eight vectors of 16 channels x one pair of pixels -> 16 rows of 16 pixels, `pitch` elements apart.
void store_transposed(const __m512i (&a)[8], Pixels* to, Index pitch) {
  for (int half = 0; half < 2; ++half) {
    const __m512i* v = a + 4 * half;
    const __m512i low0 = _mm512_unpacklo_epi32(v[0], v[1]), high0 = _mm512_unpackhi_epi32(v[0], v[1]);
    const __m512i low1 = _mm512_unpacklo_epi32(v[2], v[3]), high1 = _mm512_unpackhi_epi32(v[2], v[3]);
    const __m512i rows[4] = {_mm512_unpacklo_epi64(low0, low1), _mm512_unpackhi_epi64(low0, low1),
                             _mm512_unpacklo_epi64(high0, high1), _mm512_unpackhi_epi64(high0, high1)};
    for (Index c = 0; c < 4; ++c) {  // 128-bit lane q of rows[c] holds channel 4 q + c
      Pixels* row = to + c * pitch + 8 * half;
      _mm_storeu_si128(reinterpret_cast<__m128i*>(row), _mm512_extracti32x4_epi32(rows[c], 0));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(row + 4 * pitch), _mm512_extracti32x4_epi32(rows[c], 1));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(row + 8 * pitch), _mm512_extracti32x4_epi32(rows[c], 2));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(row + 12 * pitch), _mm512_extracti32x4_epi32(rows[c], 3));
    }
  }
}

/// [a0 b0 a1 b1 ...] of the two halves of a vector of 32: a pair of pixels by channel.
__m512i interleave_order() {
  return _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19,
                          3, 18, 2, 17, 1, 16, 0);
}

/// A row of `size` pixels of 16 channels -> 16 rows of pixels, the first pixel at `to`.
void transpose_row(const Pixels* from, Index size, Pixels* to, Index pitch) {
  const __m512i order = interleave_order();
  for (Index p = 0; p < size; p += 16) {
    __m512i pairs[8];
    for (Index j = 0; j < 8; ++j)
      pairs[j] = _mm512_permutexvar_epi16(order, load_two(from + (p + 2 * j) * block, size - p - 2 * j));
    store_transposed(pairs, to + p, pitch);
  }
}

/// The same for stride 2: pixels 0, 2, 4, ... go to `even`, pixels 1, 3, 5, ... to `odd`.
void transpose_row_split(const Pixels* from, Index size, Pixels* even, Pixels* odd, Index pitch) {
  const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37,
                                         5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
  for (Index p = 0; p < size; p += 32) {
    __m512i evens[8], odds[8];
    for (Index j = 0; j < 8; ++j) {
      const Index at = p + 4 * j;
      const __m512i low = load_two(from + at * block, size - at);
      const __m512i high = load_two(from + (at + 2) * block, size - at - 2);
      evens[j] = _mm512_permutex2var_epi16(low, first, high);
      odds[j] = _mm512_permutex2var_epi16(low, second, high);
    }
    store_transposed(evens, even + p / 2, pitch);
    store_transposed(odds, odd + p / 2, pitch);
  }
}

void interleave_row(const Pixels* from, Index size, Index pairs, Pixels* to) {
  const __m512i order = interleave_order();
  for (Index j = 0; j < pairs; ++j)
    _mm512_storeu_si512(to + 32 * j, _mm512_permutexvar_epi16(order, load_two(from + 2 * j * block, size - 2 * j)));
}

/// What a tile runs over: output rows of all images of a group.
struct Sweep {
  Index images, rows, pairs;
  Index x_image, x_row, x_channel;  // pitches of the transposed input
  Index y_image, y_out;             // pitches of the paired gradient
  Index sums_out;                   // pitch of the sums between blocks of outputs
};

/// Adds to outs x taps x channels x 16 sums, at sums + out * s.sums_out + tap * 256 + channel * 16: x at each tap's
/// offset, times y. A pair of x serves `outs` products once loaded: loads are what limits the rate.
template <int taps, int channels, int outs>
void accumulate_tile(const Sweep& s, const Pixels* x, const Index (&offsets)[3], const Pixels* y, float* sums) {
  __m512 acc[outs][taps][channels];
#pragma GCC unroll 4
  for (int o = 0; o < outs; ++o)
#pragma GCC unroll 3
    for (int t = 0; t < taps; ++t)
#pragma GCC unroll 16
      for (int c = 0; c < channels; ++c) acc[o][t][c] = _mm512_loadu_ps(sums + o * s.sums_out + t * 256 + c * 16);
  for (Index image = 0; image < s.images; ++image) {
    for (Index row = 0; row < s.rows; ++row) {
      const Pixels* from = x + image * s.x_image + row * s.x_row;
      const Pixels* grad = y + image * s.y_image + row * s.pairs * 32;
      for (Index j = 0; j < s.pairs; ++j) {
        __m512i g[outs];
#pragma GCC unroll 4
        for (int o = 0; o < outs; ++o) g[o] = _mm512_loadu_si512(grad + o * s.y_out + 32 * j);
#pragma GCC unroll 3
        for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 16
          for (int c = 0; c < channels; ++c) {
            int pair;
            std::memcpy(&pair, from + 2 * j + offsets[t] + c * s.x_channel, sizeof pair);
            const __m512i spread = _mm512_set1_epi32(pair);
#pragma GCC unroll 4
            for (int o = 0; o < outs; ++o)
              acc[o][t][c] = _mm512_dpbf16_ps(acc[o][t][c], (__m512bh)spread, (__m512bh)g[o]);
          }
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int o = 0; o < outs; ++o)
#pragma GCC unroll 3
    for (int t = 0; t < taps; ++t)
#pragma GCC unroll 16
      for (int c = 0; c < channels; ++c) _mm512_storeu_ps(sums + o * s.sums_out + t * 256 + c * 16, acc[o][t][c]);
}

/// All 16 channels of an input block, `channels` at a time.
template <int taps, int channels, int outs>
void accumulate_block(const Sweep& s, const Pixels* x, const Index (&offsets)[3], const Pixels* y, float* sums) {
  for (Index c = 0; c < block; c += channels)
    accumulate_tile<taps, channels, outs>(s, x + c * s.x_channel, offsets, y, sums + c * 16);
}

template <int outs>
void accumulate(bool one_tap, const Sweep& s, const Pixels* x, const Index (&offsets)[3], const Pixels* y,
                float* sums) {
  if (one_tap)
    accumulate_block<1, outs == 4 ? 4 : 8, outs>(s, x, offsets, y, sums);
  else
    accumulate_block<3, 8 / outs, outs>(s, x, offsets, y, sums);
}

}  // namespace

void WeightGradient::run_share(int thread, const Bfloat16* input, const Bfloat16* grad_output, std::byte* scratch,
                               float* gradient) const {
  const Index in_blocks = input_.channels / block, out_blocks = output_.channels / block;
  Pixels* const transposed = reinterpret_cast<Pixels*>(scratch);
  const Index x_image = input_.channels * channel_pitch_;
  Pixels* const paired = transposed + rounded_up(group_ * x_image, 32);
  const Index y_image = output_.size * pairs_ * 32;  // of one block
  std::fill_n(transposed, group_ * x_image, Pixels{0});
  std::fill_n(gradient, weights(), 0.0f);

  const Index last = input_.images * (thread + 1) / threads_;
  for (Index first = input_.images * thread / threads_; first < last; first += group_) {
    const Index images = std::min(group_, last - first);
    for (Index n = 0; n < images; ++n) {
      for (Index b = 0; b < in_blocks; ++b) {
        const auto* from =
            reinterpret_cast<const Pixels*>(input + (first + n) * input_.image_stride() + b * input_.slice_stride());
        for (Index r = 0; r < input_.size; ++r) {
          if (kernel_ == 1 && r % stride_ != 0) continue;
          Pixels* to = transposed + n * x_image + b * block * channel_pitch_ + r * row_pitch_;
          if (stride_ == 1)
            transpose_row(from + r * input_.size * block, input_.size, to + padding_, channel_pitch_);
          else  // an odd pixel stands one place further, where the tap to its right output finds it
            transpose_row_split(from + r * input_.size * block, input_.size, to + odd_, to + padding_, channel_pitch_);
        }
      }
      for (Index b = 0; b < out_blocks; ++b) {
        const auto* from = reinterpret_cast<const Pixels*>(grad_output + (first + n) * output_.image_stride() +
                                                           b * output_.slice_stride());
        for (Index r = 0; r < output_.size; ++r)
          interleave_row(from + r * output_.size * block, output_.size, pairs_,
                         paired + (b * group_ + n) * y_image + r * pairs_ * 32);
      }
    }
    const Index sums_out = in_blocks * kernel_ * kernel_ * 256;
    for (Index o = 0, outs = 0; o < out_blocks; o += outs) {
      outs = out_blocks - o >= 4 ? 4 : out_blocks - o >= 2 ? 2 : 1;
      const auto add = outs == 4 ? accumulate<4> : outs == 2 ? accumulate<2> : accumulate<1>;
      const Pixels* y = paired + o * group_ * y_image;
      for (Index i = 0; i < in_blocks; ++i) {
        const Pixels* x = transposed + i * block * channel_pitch_;
        float* sums = gradient + o * sums_out + i * kernel_ * kernel_ * 256;
        Sweep sweep{images,         output_.size, pairs_,           x_image, stride_ * row_pitch_,
                    channel_pitch_, y_image,      group_ * y_image, sums_out};
        if (kernel_ == 1) {
          add(true, sweep, x, {stride_ == 2 ? odd_ : 0, 0, 0}, y, sums);
          continue;
        }
        for (Index k = 0; k < 3; ++k) {
          // Output rows whose input row stride * row + k - 1 exists.
          const Index top = k == 0 ? 1 : 0;
          const Index bottom = std::min(output_.size - 1, (input_.size - k) / stride_);
          sweep.rows = bottom - top + 1;
          if (sweep.rows > 0)
            add(false, sweep, x + (stride_ * top + k - 1) * row_pitch_,
                {0, stride_ == 2 ? odd_ : 1, stride_ == 2 ? 1 : 2}, y + top * pairs_ * 32, sums + 3 * k * 256);
        }
      }
    }
  }
}
#else
void WeightGradient::run_share(int, const Bfloat16*, const Bfloat16*, std::byte*, float*) const {}
#endif

void WeightGradient::operator()(const Bfloat16* input, const Bfloat16* grad_output, void* scratch,
                                float* gradient) const {
  const Index all = weights();
  const std::size_t share = scratch_bytes() / static_cast<std::size_t>(threads_);
  const std::size_t partial = share - static_cast<std::size_t>(all) * sizeof(float);
  auto* const base = static_cast<std::byte*>(scratch);
#pragma omp parallel for num_threads(threads_) schedule(static, 1)
  for (int thread = 0; thread < threads_; ++thread) {
    std::byte* own = base + static_cast<std::size_t>(thread) * share;
    run_share(thread, input, grad_output, own, reinterpret_cast<float*>(own + partial));
  }
#pragma omp parallel for num_threads(threads_) schedule(static)
  for (Index w = 0; w < all; ++w) {
    float sum = 0.0f;
    for (int thread = 0; thread < threads_; ++thread)
      sum += reinterpret_cast<const float*>(base + static_cast<std::size_t>(thread) * share + partial)[w];
    gradient[w] = sum;
  }
}

}  // namespace swav::resnet
