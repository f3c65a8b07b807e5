// The passes over activations, each one read of its inputs and one write. In: raw activations. Out: see the header.
// Work is divided by (image, slice of channels) among threads in a fixed way, and sums are combined in thread order, so
// results repeat bit for bit at a fixed thread count.
#include "engine/norm_passes.hpp"

#include <algorithm>

#include "engine/lanes.hpp"

namespace swav::resnet {
namespace {

/// Calls body(thread, image, slice) for every slice of every image.
template <class Body>
void for_slices(const ChannelLayout& layout, int threads, const Body& body) {
  const Index slices = layout.slices();
  const Index items = layout.images * slices;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int thread = 0; thread < threads; ++thread) {
    const Index last = items * (thread + 1) / threads;
    for (Index item = items * thread / threads; item < last; ++item) body(thread, item / slices, item % slices);
  }
}

/// Calls body.template operator()<T, L>() for the stored type and the vector width.
template <class Body>
void dispatch(const ChannelLayout& layout, Precision precision, const Body& body) {
  const auto with_type = [&]<class T>() {
    switch (layout.lanes()) {
      case 16:
        return body.template operator()<T, 16>();
      case 8:
        return body.template operator()<T, 8>();
      default:
        return body.template operator()<T, 1>();
    }
  };
  if (precision == Precision::float32)
    with_type.template operator()<float>();
  else
    with_type.template operator()<Bfloat16>();
}

/// Adds a slice's vector of sums to the thread's running sums of its channels.
template <int L>
void accumulate(const typename Lanes<L>::Float& sums, double* to) {
  float values[L];
  Lanes<L>::store(sums, values);
  for (int l = 0; l < L; ++l) to[l] += static_cast<double>(values[l]);
}

/// sums[c] = sum over threads of partials[thread][kind][c].
void combine(const double* partials, int threads, Index kinds, Index kind, Index channels, double* sums) {
  std::fill_n(sums, channels, 0.0);
  for (int thread = 0; thread < threads; ++thread)
    for (Index c = 0; c < channels; ++c) sums[c] += partials[(thread * kinds + kind) * channels + c];
}

template <class T, int L>
void sum_moments(const ChannelLayout& layout, const T* x, int threads, double* partials) {
  using V = Lanes<L>;
  using F = typename V::Float;
  constexpr int unroll = 4;
  const Index channels = layout.padded_channels(), step = layout.pixel_stride(), pixels = layout.pixels();
  for_slices(layout, threads, [&](int thread, Index image, Index slice) {
    F pivot;
    V::load(x + slice * layout.slice_stride(), pivot);
    const T* from = x + image * layout.image_stride() + slice * layout.slice_stride();
    F sum[unroll] = {}, square[unroll] = {};
    Index p = 0;
    for (; p + unroll <= pixels; p += unroll) {
      for (int u = 0; u < unroll; ++u) {
        F value;
        V::load(from + (p + u) * step, value);
        value -= pivot;
        sum[u] += value;
        square[u] += value * value;
      }
    }
    for (; p < pixels; ++p) {
      F value;
      V::load(from + p * step, value);
      value -= pivot;
      sum[0] += value;
      square[0] += value * value;
    }
    double* own = partials + 2 * thread * channels + slice * L;
    accumulate<L>((sum[0] + sum[1]) + (sum[2] + sum[3]), own);
    accumulate<L>((square[0] + square[1]) + (square[2] + square[3]), own + channels);
  });
}

enum class ShortcutKind { none, plain, normalized };

template <class T, int L, ShortcutKind kind>
void normalize(const ChannelLayout& layout, const T* x, ChannelAffine affine, Shortcut shortcut, T* y, int threads) {
  using V = Lanes<L>;
  using F = typename V::Float;
  const Index step = layout.pixel_stride(), pixels = layout.pixels();
  const T* added = static_cast<const T*>(shortcut.data);
  for_slices(layout, threads, [&](int, Index image, Index slice) {
    const Index offset = image * layout.image_stride() + slice * layout.slice_stride();
    F scale, shift, scale2{}, shift2{};
    V::load(affine.scale + slice * L, scale);
    V::load(affine.shift + slice * L, shift);
    if constexpr (kind == ShortcutKind::normalized) {
      V::load(shortcut.affine.scale + slice * L, scale2);
      V::load(shortcut.affine.shift + slice * L, shift2);
      shift += shift2;
    }
    for (Index p = 0; p < pixels; ++p) {
      const Index at = offset + p * step;
      F value, extra;
      V::load(x + at, value);
      value = value * scale + shift;
      if constexpr (kind != ShortcutKind::none) {
        V::load(added + at, extra);
        if constexpr (kind == ShortcutKind::normalized)
          value += extra * scale2;
        else
          value += extra;
      }
      V::keep_where_positive(value, value);
      V::store(value, y + at);
    }
  });
}

template <class T, int L, bool second_gradient, bool gate_by_output, bool second_norm>
void reduce(const ChannelLayout& layout, const NormReduction& pass, int threads, double* partials) {
  using V = Lanes<L>;
  using F = typename V::Float;
  const Index channels = layout.padded_channels(), step = layout.pixel_stride(), pixels = layout.pixels();
  const T* grad = static_cast<const T*>(pass.grad);
  const T* grad2 = static_cast<const T*>(pass.grad2);
  const T* output = static_cast<const T*>(pass.output);
  const T* x = static_cast<const T*>(pass.x);
  const T* x2 = static_cast<const T*>(pass.x2);
  T* gated = static_cast<T*>(pass.gated);
  for_slices(layout, threads, [&](int thread, Index image, Index slice) {
    const Index offset = image * layout.image_stride() + slice * layout.slice_stride();
    F mean, mean2{}, scale{}, shift{};
    V::load(pass.mean + slice * L, mean);
    if constexpr (!gate_by_output) {
      V::load(pass.affine.scale + slice * L, scale);
      V::load(pass.affine.shift + slice * L, shift);
    }
    if constexpr (second_norm) V::load(pass.mean2 + slice * L, mean2);
    F sum[2] = {}, product[2] = {}, product2[2] = {};
    const auto visit = [&](Index at, int u) __attribute__((always_inline)) {
      F g, input, gate;
      V::load(grad + at, g);
      if constexpr (second_gradient) {
        F other;
        V::load(grad2 + at, other);
        g += other;
      }
      V::load(x + at, input);
      if constexpr (gate_by_output)
        V::load(output + at, gate);
      else
        gate = input * scale + shift;
      V::keep_where_positive(gate, g);
      sum[u] += g;
      product[u] += g * (input - mean);
      if constexpr (second_norm) {
        F input2;
        V::load(x2 + at, input2);
        product2[u] += g * (input2 - mean2);
      }
      if constexpr (gate_by_output) V::store(g, gated + at);
    };
    Index p = 0;
    for (; p + 2 <= pixels; p += 2) {
      visit(offset + p * step, 0);
      visit(offset + (p + 1) * step, 1);
    }
    if (p < pixels) visit(offset + p * step, 0);
    double* own = partials + 3 * thread * channels + slice * L;
    accumulate<L>(sum[0] + sum[1], own);
    accumulate<L>(product[0] + product[1], own + channels);
    if constexpr (second_norm) accumulate<L>(product2[0] + product2[1], own + 2 * channels);
  });
}

template <class T, int L, bool gated>
void apply(const ChannelLayout& layout, const T* g, const T* x, NormGradient map, const ChannelAffine* gate, T* dx,
           int threads) {
  using V = Lanes<L>;
  using F = typename V::Float;
  const Index step = layout.pixel_stride(), pixels = layout.pixels();
  for_slices(layout, threads, [&](int, Index image, Index slice) {
    const Index offset = image * layout.image_stride() + slice * layout.slice_stride();
    F a, b, c, scale{}, shift{};
    V::load(map.a + slice * L, a);
    V::load(map.b + slice * L, b);
    V::load(map.c + slice * L, c);
    if constexpr (gated) {
      V::load(gate->scale + slice * L, scale);
      V::load(gate->shift + slice * L, shift);
    }
    for (Index p = 0; p < pixels; ++p) {
      const Index at = offset + p * step;
      F gradient, input;
      V::load(g + at, gradient);
      V::load(x + at, input);
      if constexpr (gated) {
        const F activation = input * scale + shift;
        V::keep_where_positive(activation, gradient);
      }
      gradient = a * gradient + (b * input + c);
      V::store(gradient, dx + at);
    }
  });
}

template <class T, int L>
void apply_twice(const ChannelLayout& layout, const T* g, const T* x, NormGradient map, T* dx, const T* x2,
                 NormGradient map2, T* dx2, int threads) {
  using V = Lanes<L>;
  using F = typename V::Float;
  const Index step = layout.pixel_stride(), pixels = layout.pixels();
  for_slices(layout, threads, [&](int, Index image, Index slice) {
    const Index offset = image * layout.image_stride() + slice * layout.slice_stride();
    F a, b, c, a2, b2, c2;
    V::load(map.a + slice * L, a);
    V::load(map.b + slice * L, b);
    V::load(map.c + slice * L, c);
    V::load(map2.a + slice * L, a2);
    V::load(map2.b + slice * L, b2);
    V::load(map2.c + slice * L, c2);
    for (Index p = 0; p < pixels; ++p) {
      const Index at = offset + p * step;
      F gradient, input, input2;
      V::load(g + at, gradient);
      V::load(x + at, input);
      V::load(x2 + at, input2);
      input = a * gradient + (b * input + c);
      input2 = a2 * gradient + (b2 * input2 + c2);
      V::store(input, dx + at);
      V::store(input2, dx2 + at);
    }
  });
}

}  // namespace

void batch_moments(const ChannelLayout& layout, Precision precision, const void* x, int threads, double* partials,
                   double* mean, double* variance) {
  const Index channels = layout.padded_channels();
  std::fill_n(partials, 2 * threads * channels, 0.0);
  dispatch(layout, precision, [&]<class T, int L>() {
    const T* values = static_cast<const T*>(x);
    sum_moments<T, L>(layout, values, threads, partials);
    combine(partials, threads, 2, 0, channels, mean);
    combine(partials, threads, 2, 1, channels, variance);
    const double count = static_cast<double>(layout.images * layout.pixels());
    for (Index slice = 0; slice < layout.slices(); ++slice) {
      typename Lanes<L>::Float first;
      float pivot[L];
      Lanes<L>::load(values + slice * layout.slice_stride(), first);
      Lanes<L>::store(first, pivot);
      for (Index l = 0; l < L; ++l) {
        const Index c = slice * L + l;
        const double offset = mean[c] / count;
        variance[c] = std::max(0.0, variance[c] / count - offset * offset);
        mean[c] = static_cast<double>(pivot[l]) + offset;
      }
    }
  });
}

void normalize_relu(const ChannelLayout& layout, Precision precision, const void* x, ChannelAffine affine,
                    Shortcut shortcut, void* y, int threads) {
  dispatch(layout, precision, [&]<class T, int L>() {
    const T* from = static_cast<const T*>(x);
    T* to = static_cast<T*>(y);
    if (shortcut.data == nullptr)
      normalize<T, L, ShortcutKind::none>(layout, from, affine, shortcut, to, threads);
    else if (shortcut.affine.scale == nullptr)
      normalize<T, L, ShortcutKind::plain>(layout, from, affine, shortcut, to, threads);
    else
      normalize<T, L, ShortcutKind::normalized>(layout, from, affine, shortcut, to, threads);
  });
}

void reduce_gradient(const ChannelLayout& layout, Precision precision, const NormReduction& pass, int threads,
                     double* partials, double* sum_gradient, double* sum_product, double* sum_product2) {
  const Index channels = layout.padded_channels();
  std::fill_n(partials, 3 * threads * channels, 0.0);
  dispatch(layout, precision, [&]<class T, int L>() {
    if (pass.output == nullptr)
      reduce<T, L, false, false, false>(layout, pass, threads, partials);
    else if (pass.grad2 == nullptr && pass.x2 == nullptr)
      reduce<T, L, false, true, false>(layout, pass, threads, partials);
    else if (pass.grad2 == nullptr)
      reduce<T, L, false, true, true>(layout, pass, threads, partials);
    else if (pass.x2 == nullptr)
      reduce<T, L, true, true, false>(layout, pass, threads, partials);
    else
      reduce<T, L, true, true, true>(layout, pass, threads, partials);
  });
  combine(partials, threads, 3, 0, channels, sum_gradient);
  combine(partials, threads, 3, 1, channels, sum_product);
  if (pass.x2 != nullptr) combine(partials, threads, 3, 2, channels, sum_product2);
}

void apply_gradient(const ChannelLayout& layout, Precision precision, const void* g, const void* x, NormGradient map,
                    const ChannelAffine* gate, void* dx, int threads) {
  dispatch(layout, precision, [&]<class T, int L>() {
    const T* gradient = static_cast<const T*>(g);
    const T* input = static_cast<const T*>(x);
    if (gate == nullptr)
      apply<T, L, false>(layout, gradient, input, map, gate, static_cast<T*>(dx), threads);
    else
      apply<T, L, true>(layout, gradient, input, map, gate, static_cast<T*>(dx), threads);
  });
}

void apply_gradient_twice(const ChannelLayout& layout, Precision precision, const void* g, const void* x,
                          NormGradient map, void* dx, const void* x2, NormGradient map2, void* dx2, int threads) {
  dispatch(layout, precision, [&]<class T, int L>() {
    apply_twice<T, L>(layout, static_cast<const T*>(g), static_cast<const T*>(x), map, static_cast<T*>(dx),
                      static_cast<const T*>(x2), map2, static_cast<T*>(dx2), threads);
  });
}

void average_pixels(const ChannelLayout& layout, Precision precision, const void* x, MatrixView<float> features,
                    int threads) {
  dispatch(layout, precision, [&]<class T, int L>() {
    using V = Lanes<L>;
    for_slices(layout, threads, [&](int, Index image, Index slice) {
      const T* from = static_cast<const T*>(x) + image * layout.image_stride() + slice * layout.slice_stride();
      typename V::Float sum{};
      for (Index p = 0; p < layout.pixels(); ++p) {
        typename V::Float value;
        V::load(from + p * layout.pixel_stride(), value);
        sum += value;
      }
      sum /= static_cast<float>(layout.pixels());
      float values[L];
      V::store(sum, values);
      std::copy_n(values, std::min<Index>(L, layout.channels - slice * L), features.row(image) + slice * L);
    });
  });
}

void spread_gradient(const ChannelLayout& layout, Precision precision, MatrixView<const float> gradient, void* dx,
                     int threads) {
  dispatch(layout, precision, [&]<class T, int L>() {
    using V = Lanes<L>;
    for_slices(layout, threads, [&](int, Index image, Index slice) {
      float values[L] = {};
      std::copy_n(gradient.row(image) + slice * L, std::min<Index>(L, layout.channels - slice * L), values);
      typename V::Float value;
      V::load(values, value);
      value /= static_cast<float>(layout.pixels());
      T* to = static_cast<T*>(dx) + image * layout.image_stride() + slice * layout.slice_stride();
      for (Index p = 0; p < layout.pixels(); ++p) V::store(value, to + p * layout.pixel_stride());
    });
  });
}

void add_gradients(const ChannelLayout& layout, Precision precision, const void* a, const void* b, void* out,
                   int threads) {
  dispatch(layout, precision, [&]<class T, int L>() {
    using V = Lanes<L>;
    for_slices(layout, threads, [&](int, Index image, Index slice) {
      const Index offset = image * layout.image_stride() + slice * layout.slice_stride();
      for (Index p = 0; p < layout.pixels(); ++p) {
        const Index at = offset + p * layout.pixel_stride();
        typename V::Float left, right;
        V::load(static_cast<const T*>(a) + at, left);
        V::load(static_cast<const T*>(b) + at, right);
        left += right;
        V::store(left, static_cast<T*>(out) + at);
      }
    });
  });
}

}  // namespace swav::resnet
