// Images by number, wherever they are. In: a number. Out: uint8 pixels, and what is known of all images together.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "swav/core/matrix_view.hpp"
#include "swav/crops/image_view.hpp"

namespace swav::resnet {

/// A JPEG file that nobody has decoded yet, but that can be: whole, and of what every decoder knows.
struct JpegFile {
  std::span<const std::uint8_t> bytes = {};
  int orientation = 1;  ///< EXIF's, of the pixels in it
};

/// Pixels, or a JPEG file of them, whose upright height and width the view then has, and no data.
struct ReadImage {
  ImageView<std::uint8_t> image = {};
  JpegFile jpeg = {};

  [[nodiscard]] bool is_readable() const { return image.data != nullptr || !jpeg.bytes.empty(); }
};

/// What one thread reads images with; it may hold working memory.
class ImageReader {
 public:
  virtual ~ImageReader() = default;

  /// The pixels of image `i`, valid until the next call. Their data is null when the image cannot be read, which
  /// ImageSource::take_problems() then tells of. Throws FileError when too many cannot.
  [[nodiscard]] virtual ImageView<std::uint8_t> read(Index i) = 0;
  /// The same for who decodes JPEG files by other means: those that can be are handed out as they are. Which images
  /// cannot be read is the same.
  [[nodiscard]] virtual ReadImage read_file(Index i) { return {.image = read(i)}; }
};

class ImageSource {
 public:
  std::vector<int> labels = {};  ///< A class each, from 0; empty where there are none.

  virtual ~ImageSource() = default;

  [[nodiscard]] virtual Index count() const = 0;
  [[nodiscard]] virtual Index channels() const = 0;
  /// In pixels, if the images are squares of one size, else 0.
  [[nodiscard]] virtual Index side() const = 0;
  /// All pixels, where they are in memory in one piece: then what is read are views of it, which stay valid. Else
  /// empty.
  [[nodiscard]] virtual std::span<const std::uint8_t> storage() const { return {}; }
  /// "60000 images of 28 x 28 x 1"
  [[nodiscard]] virtual std::string describe() const = 0;

  /// A reader for one thread; any number may read at once. The source has to outlive it.
  [[nodiscard]] virtual std::unique_ptr<ImageReader> reader() const = 0;

  /// Of the images' names in their order, without the folder they are in: differs, as good as surely, where they do. 0
  /// where images have no names. O(names).
  [[nodiscard]] virtual std::uint64_t names_hash() const { return 0; }

  /// A message on each image that was found unreadable since the last call. Safe beside readers.
  [[nodiscard]] virtual std::vector<std::string> take_problems() const { return {}; }
};

}  // namespace swav::resnet
