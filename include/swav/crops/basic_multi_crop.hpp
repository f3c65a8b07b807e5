// The multi-crop sampler (Caron et al., "Unsupervised learning of visual features by contrasting cluster assignments",
// 2020, section 3.3). In: an image in memory and a key. Out: its random views, normalised, the same for the same key.
// Free of any backend: a file that instantiates it includes its device's crop passes.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/core/device.hpp"
#include "swav/core/error.hpp"
#include "swav/core/philox.hpp"
#include "swav/crops/geometry.hpp"
#include "swav/crops/image_view.hpp"
#include "swav/crops/passes.hpp"
#include "swav/crops/photometry.hpp"

namespace swav {

/// `count` views of size x size pixels and how they are drawn. The defaults are SwAV's for its large crops.
struct CropSpec {
  int count = 2;
  Index size = 224;
  Range scale = {0.14, 1.0};
  Range aspect = {3.0 / 4.0, 4.0 / 3.0};
  Interpolation interpolation = Interpolation::bilinear;
  double flip = 0.5;
  ColorJitter jitter = {};
  double grayscale = 0.2;
  Blur blur = {};
  Solarize solarize = {};
  Normalization normalize = {};
  PixelLayout layout = PixelLayout::planar;
  Index pixel_stride = 0;  ///< see CropPlan
};

/// Names an image's crops: with the sampler's options, the same key gives the same pixels.
struct CropKey {
  std::uint64_t seed = 0;
  std::uint64_t epoch = 0;
  std::uint64_t index = 0;
};

namespace detail {

inline void check_spec(const CropSpec& spec) {
  require(spec.count >= 1, "CropSpec: count ", spec.count, " found, 1 or more wanted");
  require(spec.size >= 1 && spec.size <= 32768, "CropSpec: size ", spec.size, " found, 1 to 32768 wanted");
  check_crop_ranges(spec.scale, spec.aspect);
  check_probability("flip", spec.flip);
  check_jitter(spec.jitter);
  check_probability("grayscale", spec.grayscale);
  check_blur(spec.blur);
  check_probability("solarize.probability", spec.solarize.probability);
  require(spec.solarize.threshold >= 0 && spec.solarize.threshold <= 1, "solarize.threshold: ", spec.solarize.threshold,
          " found, 0 to 1 wanted");
}

}  // namespace detail

/// Draws one crop of a height x width image: its box, flip and photometry. Throws InvalidInput for a bad option or an
/// empty image.
[[nodiscard]] inline CropPlan draw_crop(const CropSpec& spec, Index height, Index width, PhiloxStream random) {
  detail::check_spec(spec);
  CropPlan plan;
  plan.box = draw_box(height, width, spec.scale, spec.aspect, random);
  plan.size = spec.size;
  plan.interpolation = spec.interpolation;
  plan.layout = spec.layout;
  plan.pixel_stride = spec.pixel_stride;
  plan.flip = random.uniform() < spec.flip;
  detail::draw_jitter(spec.jitter, random, plan.photometry);
  plan.photometry.grayscale = random.uniform() < spec.grayscale;
  plan.photometry.blur_filter = spec.blur.filter;
  if (random.uniform() < spec.blur.probability)
    plan.photometry.blur_sigma = random.uniform(spec.blur.sigma.low, spec.blur.sigma.high);
  if (random.uniform() < spec.solarize.probability) plan.photometry.solarize_threshold = spec.solarize.threshold;
  return plan;
}

/// Renders one crop, drawn or written by hand, into out[channels x size x size], planar or interleaved as the plan
/// says: resampled, coloured and normalised. Arithmetic is in float. A colour step sees the first channel of one or
/// two, the first three of three or four; saturation, hue and grey do nothing to grey images; alpha is resampled,
/// blurred and normalised like the rest. A Gaussian blur reflects at the crop's border, and is cut to size - 1 pixels
/// where three sigma are wider. `out` must not overlap the image. Throws InvalidInput for a bad image (a float one is
/// searched for NaN and infinity once), a box outside it, or a bad factor. O(box pixels + size^2 (taps + sigma)).
template <class Device = EigenDevice, class T, class Out>
void render_crop(const ImageView<T>& image, const CropPlan& plan, const Normalization& normalization, Out* out,
                 const Device& device = {}) {
  detail::check_pixels(device, image);
  detail::check_plan(plan, image.height, image.width);
  detail::check_normalization(normalization, image.channels);
  detail::check_pixel_stride(plan.layout, plan.pixel_stride, image.channels);
  detail::require(out != nullptr, "out: null found, room for channels x size x size values wanted");
  CropPasses<Device>::render(device, image, plan, normalization, out);
}

/// The random views of an image: for each CropSpec in turn, `count` of them. Immutable, so any number of threads may
/// share one; a thread allocates working memory at its first image, and when one is of another size, never else.
template <class Device>
class BasicMultiCropSampler {
 public:
  /// Throws InvalidInput, naming the option, for a bad or an absent spec.
  explicit BasicMultiCropSampler(std::vector<CropSpec> specs, Device device = {})
      : specs_(std::move(specs)), device_(std::move(device)) {
    detail::require(!specs_.empty(), "MultiCropSampler: no CropSpec found, 1 or more wanted");
    for (std::size_t s = 0; s < specs_.size(); ++s) {
      detail::check_spec(specs_[s]);
      spec_of_view_.insert(spec_of_view_.end(), static_cast<std::size_t>(specs_[s].count), s);
    }
  }

  [[nodiscard]] Index views() const { return static_cast<Index>(spec_of_view_.size()); }

  /// The spec that view `v` is drawn by.
  [[nodiscard]] const CropSpec& view(Index v) const {
    detail::require(v >= 0 && v < views(), "MultiCropSampler: view ", v, " found, 0 to ", views() - 1, " wanted");
    return specs_[spec_of_view_[static_cast<std::size_t>(v)]];
  }

  /// What operator() renders as view `v` of a height x width image under `key`. Philox keyed by (seed, epoch, view),
  /// its stream named by the image's index.
  [[nodiscard]] CropPlan plan(CropKey key, Index height, Index width, Index v) const {
    const CropSpec& spec = view(v);
    const Philox stream_key(key.seed, key.epoch, static_cast<std::uint64_t>(v));
    const std::uint64_t low = stream_key.out[0];
    const std::uint64_t high = stream_key.out[1];
    return draw_crop(spec, height, width, PhiloxStream(high << 32 | low, key.index));
  }

  /// Renders all views of `image`: view v into outputs[v], channels x size x size values of float, double or a 16-bit
  /// scalar, in its spec's layout. `outputs` is any contiguous range of pointers, one a view, none overlapping another
  /// or the image. Throws InvalidInput, before anything is written, for a bad image (empty; more than 4 channels; rows
  /// that overlap; NaN or infinity in a float image), a wrong number of outputs or a null one, and a normalisation that
  /// lacks a channel. Safe to call from many threads.
  template <class T, class Outputs>
  void operator()(const ImageView<T>& image, CropKey key, const Outputs& outputs) const {
    const std::span all(outputs);
    using Out = std::remove_pointer_t<typename decltype(all)::value_type>;
    detail::check_image(image);
    const std::span<Out* const> pointers(all);
    check_outputs(pointers);
    check(image);
    render(std::span<const ImageView<T>>(&image, 1), std::span<const CropKey>(&key, 1), pointers);
  }

  /// The same for many images with a key each, all of the same channels: view v of image i goes to outputs[v] + i
  /// channels size^2 (or pixel_stride size^2), so that a view's outputs are one batch. `images` and `keys` are
  /// contiguous ranges. On CudaDevice one launch renders all, and nothing is waited for; a float image that is not
  /// finite is found there.
  template <class Images, class Outputs>
  void batch(const Images& images, std::span<const CropKey> keys, const Outputs& outputs) const {
    const std::span all_images(images);
    const std::span all(outputs);
    using Image = typename decltype(all_images)::value_type;
    using Out = std::remove_pointer_t<typename decltype(all)::value_type>;
    const std::span<Out* const> pointers(all);
    check_outputs(pointers);
    detail::require(keys.size() == all_images.size(), "keys: ", keys.size(), " found, one an image (",
                    all_images.size(), ") wanted");
    for (const Image& image : all_images) {
      check(image);
      detail::require(image.channels == all_images[0].channels, "images: channels ", image.channels, " and ",
                      all_images[0].channels, " found, the same in all wanted");
    }
    render(std::span<const Image>(all_images), keys, pointers);
  }

 private:
  template <class T>
  void check(const ImageView<T>& image) const {
    detail::check_pixels(device_, image);
    for (const CropSpec& spec : specs_) {
      detail::check_normalization(spec.normalize, image.channels);
      detail::check_pixel_stride(spec.layout, spec.pixel_stride, image.channels);
    }
  }

  template <class Out>
  void check_outputs(std::span<Out* const> outputs) const {
    detail::require(static_cast<Index>(outputs.size()) == views(), "outputs: ", outputs.size(),
                    " pointers found, one a view (", views(), ") wanted");
    for (std::size_t v = 0; v < outputs.size(); ++v)
      detail::require(outputs[v] != nullptr, "outputs[", v,
                      "]: null found, room for channels x size x size values wanted");
  }

  /// All views of images that are checked.
  template <class T, class Out>
  void render(std::span<const ImageView<T>> images, std::span<const CropKey> keys,
              std::span<Out* const> outputs) const {
    constexpr bool at_once = requires(std::span<const CropJob<T, Out>> jobs) {
      CropPasses<Device>::render_all(std::declval<const Device&>(), jobs);
    };
    std::vector<CropJob<T, Out>> jobs;
    if constexpr (at_once) jobs.reserve(images.size() * outputs.size());
    for (std::size_t i = 0; i < images.size(); ++i)
      for (Index v = 0; v < views(); ++v) {
        const ImageView<T>& image = images[i];
        const CropSpec& spec = view(v);
        const CropPlan drawn = plan(keys[i], image.height, image.width, v);
        Out* const out = outputs[static_cast<std::size_t>(v)] +
                         static_cast<Index>(i) * drawn.values_a_pixel(image.channels) * spec.size * spec.size;
        if constexpr (at_once)
          jobs.push_back({image, drawn, &spec.normalize, out});
        else
          CropPasses<Device>::render(device_, image, drawn, spec.normalize, out);
      }
    if constexpr (at_once) {
      if (!jobs.empty()) CropPasses<Device>::render_all(device_, std::span<const CropJob<T, Out>>(jobs));
    }
  }

  std::vector<CropSpec> specs_;
  std::vector<std::size_t> spec_of_view_;
  Device device_;
};

}  // namespace swav
