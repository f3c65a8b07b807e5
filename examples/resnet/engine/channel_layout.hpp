// Where an activation's channels lie in memory. In: its dimensions and the blocking that oneDNN chose for the network.
// Out: strides by (image, slice of L channels, pixel), which our own passes walk, and the matching oneDNN descriptor.
#pragma once

#include "engine/dnnl_version.hpp"
#include "engine/precision.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav::resnet {

/// The order in which every activation of a network is stored: blocks of 16 or 8 channels (nChw16c, nChw8c), or nhwc.
enum class Blocking { by16, by8, channels_last };

/// A square activation, images x channels x size x size. Channels are padded to whole blocks; padding holds zeros.
struct ChannelLayout {
  Index images = 0;
  Index channels = 0;
  Index size = 0;
  Blocking blocking = Blocking::channels_last;

  [[nodiscard]] Index pixels() const { return size * size; }
  [[nodiscard]] Index block() const {
    return blocking == Blocking::by16 ? 16 : blocking == Blocking::by8 ? 8 : channels;
  }
  [[nodiscard]] Index padded_channels() const { return (channels + block() - 1) / block() * block(); }
  /// Channels in a slice, the vector width of the passes: the block, or the largest of 16, 8, 1 that divides the
  /// channels.
  [[nodiscard]] int lanes() const {
    if (blocking != Blocking::channels_last) return static_cast<int>(block());
    return channels % 16 == 0 ? 16 : channels % 8 == 0 ? 8 : 1;
  }
  [[nodiscard]] Index slices() const { return padded_channels() / lanes(); }
  [[nodiscard]] Index image_stride() const { return padded_channels() * pixels(); }
  [[nodiscard]] Index slice_stride() const {
    return blocking == Blocking::channels_last ? lanes() : pixels() * lanes();
  }
  [[nodiscard]] Index pixel_stride() const { return blocking == Blocking::channels_last ? channels : lanes(); }
  [[nodiscard]] Index elements() const { return images * image_stride(); }

  [[nodiscard]] std::size_t bytes(Precision precision) const {
    return static_cast<std::size_t>(elements()) * bytes_of(precision);
  }
  [[nodiscard]] dnnl::memory::desc desc(Precision precision) const {
    using tag = dnnl::memory::format_tag;
    return {{images, channels, size, size},
            dnnl_type(precision),
            blocking == Blocking::by16  ? tag::nChw16c
            : blocking == Blocking::by8 ? tag::nChw8c
                                        : tag::nhwc};
  }
};

/// The blocking that oneDNN prefers on this CPU for 3x3 convolutions of `channels` channels.
[[nodiscard]] Blocking preferred_blocking(const dnnl::engine& engine, Precision precision, Index channels);

}  // namespace swav::resnet
