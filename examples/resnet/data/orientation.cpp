// EXIF's orientation tag, and the eight ways to turn an image. In: EXIF data, pixels. Out: pixels upright.
#include "data/orientation.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "data/buffers.hpp"

namespace swav::resnet {
namespace {

/// Unsigned numbers of either byte order; outside the data they are 0, which no tag, type or orientation is.
class TiffReader {
 public:
  explicit TiffReader(std::span<const std::uint8_t> bytes) : bytes_(bytes), big_endian_(byte(0) == 'M') {}

  [[nodiscard]] std::uint32_t byte(std::size_t at) const { return at < bytes_.size() ? bytes_[at] : 0; }
  [[nodiscard]] std::uint32_t two(std::size_t at) const {
    return big_endian_ ? byte(at) << 8 | byte(at + 1) : byte(at) | byte(at + 1) << 8;
  }
  [[nodiscard]] std::uint32_t four(std::size_t at) const {
    return big_endian_ ? two(at) << 16 | two(at + 2) : two(at) | two(at + 2) << 16;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  bool big_endian_;
};

}  // namespace

int exif_orientation(std::span<const std::uint8_t> tiff) {
  constexpr std::uint32_t orientation_tag = 0x0112, short_type = 3;
  const TiffReader read(tiff);
  if (read.byte(0) != read.byte(1) || (read.byte(0) != 'I' && read.byte(0) != 'M') || read.two(2) != 42) return 1;
  const std::size_t directory = read.four(4);
  const std::size_t entries = read.two(directory);
  for (std::size_t entry = directory + 2; entry < directory + 2 + 12 * entries; entry += 12) {
    if (read.two(entry) != orientation_tag) continue;
    const std::uint32_t value = read.two(entry + 8);
    return read.two(entry + 2) == short_type && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

void turn_upright(DecodedImage& image, int orientation, std::vector<std::uint8_t>& scratch) {
  release_excess(scratch, image.pixels.size());
  if (orientation == 1) return;
  // The stored image's axes, seen from the upright one: swapped, then either of them reversed.
  const bool swapped = orientation >= 5;
  const bool rows_reversed = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool columns_reversed = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  scratch.swap(image.pixels);
  image.pixels.resize(scratch.size());
  const Index stored_height = image.height, stored_width = image.width, channels = image.channels;
  if (swapped) std::swap(image.height, image.width);
  std::uint8_t* out = image.pixels.data();
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x, out += channels) {
      const Index row = swapped ? x : y, column = swapped ? y : x;
      const Index from_row = rows_reversed ? stored_height - 1 - row : row;
      const Index from_column = columns_reversed ? stored_width - 1 - column : column;
      std::copy_n(scratch.data() + (from_row * stored_width + from_column) * channels, channels, out);
    }
}

}  // namespace swav::resnet
