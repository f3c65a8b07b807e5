// An image in memory, as the crop sampler reads it. In: somebody else's pixels, channels interleaved, any row stride.
// Out: a trivially copyable view, and the check every public call makes of it.
#pragma once

#include <concepts>
#include <cstdint>

#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav {

/// What an image may be stored in: bytes are read as value / 255, floats as they are (0 is black, 1 is white).
template <class T>
concept Pixel = std::same_as<T, std::uint8_t> || std::same_as<T, float>;

/// `height` x `width` pixels of `channels` adjacent values (1: grey, 2: grey and alpha, 3: RGB, 4: RGB and alpha). Row
/// y starts at data + y * row_stride; the stride is in elements, and 0 stands for width * channels.
template <Pixel T>
struct ImageView {
  const T* data = nullptr;
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  Index row_stride = 0;

  [[nodiscard]] constexpr Index stride() const { return row_stride == 0 ? width * channels : row_stride; }
  [[nodiscard]] constexpr const T* row(Index y) const { return data + y * stride(); }
};

namespace detail {

/// Throws InvalidInput unless the image has pixels, 1 to 4 channels, and rows that do not overlap.
template <Pixel T>
void check_image(const ImageView<T>& image) {
  require(image.data != nullptr, "image: data is null, pixels wanted");
  require(image.height > 0 && image.width > 0, "image: ", image.height, " x ", image.width,
          " pixels found, at least 1 x 1 wanted");
  require(image.channels >= 1 && image.channels <= 4, "image: channels ", image.channels, " found, 1 to 4 wanted");
  require(image.row_stride == 0 || image.row_stride >= image.width * image.channels, "image: row_stride ",
          image.row_stride, " found, 0 or at least width * channels = ", image.width * image.channels, " wanted");
}

}  // namespace detail
}  // namespace swav
