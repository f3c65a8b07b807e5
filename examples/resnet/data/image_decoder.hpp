// JPEG and PNG files to pixels, on libjpeg-turbo and libpng. In: a file's bytes and its name. Out: upright interleaved
// RGB, or a FileError that names the file and what is wrong with it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "swav/core/matrix_view.hpp"
#include "swav/crops/image_view.hpp"

namespace swav::resnet {

/// height x width pixels of `channels` adjacent values, row by row without gaps.
struct DecodedImage {
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  std::vector<std::uint8_t> pixels = {};

  [[nodiscard]] ImageView<std::uint8_t> view() const { return {pixels.data(), height, width, channels}; }
};

/// Height and width of the upright image.
struct JpegHeader {
  Index height, width;
  int orientation;  ///< EXIF's, of the pixels in the file
};

struct DecodeLimits {
  Index max_pixels = Index{1} << 28;  ///< A header that promises more is refused before memory is taken.
};

/// Decodes one file at a time and keeps the libraries' state between files: one for each thread.
class ImageDecoder {
 public:
  explicit ImageDecoder(DecodeLimits limits = {});
  ~ImageDecoder();
  ImageDecoder(ImageDecoder&&) noexcept;
  ImageDecoder& operator=(ImageDecoder&&) noexcept;

  /// Decodes a whole JPEG or PNG file, told apart by its first bytes, into `out` of 3 channels, whose memory is reused
  /// (buffers.hpp says how much of it is kept).
  ///
  /// The pixels are those of Pillow's ImageOps.exif_transpose(image).convert("RGB"): grey is repeated, CMYK (inverted,
  /// as Adobe writes it) loses its black, palettes are looked up, transparency is dropped, EXIF's orientation applied.
  /// Of 16 bits the high 8 are kept, of grey, too, where Pillow clips. Throws FileError, which names `name`, for a file
  /// that is empty, neither JPEG nor PNG, truncated, damaged (coefficients that Pillow would replace by grey are
  /// damage), or larger than the limits; `out` is then unspecified. O(pixels + bytes).
  void decode(std::span<const std::uint8_t> file, const std::string& name, DecodedImage& out);

  /// What is needed to decode a JPEG file elsewhere; nothing for other files and for JPEGs that not every decoder
  /// knows: of other colours than YCbCr, other depths than 8 bits, arithmetic codes, unusual sampling, or more than
  /// 2^25 pixels. Throws what decode() throws; where `whole` is false the codes behind the header are not looked at.
  /// O(bytes).
  [[nodiscard]] std::optional<JpegHeader> inspect(std::span<const std::uint8_t> file, const std::string& name,
                                                  bool whole);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swav::resnet
