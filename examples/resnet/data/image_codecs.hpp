// The libraries behind ImageDecoder. In: a file's bytes and its name. Out: RGB pixels as they are stored, and EXIF's
// orientation; a FileError that names the file where there are none.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "data/image_decoder.hpp"

namespace swav::resnet {

/// libjpeg-turbo with its handle, used for one file after another.
class JpegDecoder {
 public:
  JpegDecoder();
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  /// Fills `out` and returns the orientation.
  int decode(std::span<const std::uint8_t> file, const std::string& name, const DecodeLimits& limits,
             DecodedImage& out);
  /// See ImageDecoder.
  std::optional<JpegHeader> inspect(std::span<const std::uint8_t> file, const std::string& name,
                                    const DecodeLimits& limits, bool whole);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// libpng: fills `out` and returns the orientation.
int decode_png(std::span<const std::uint8_t> file, const std::string& name, const DecodeLimits& limits,
               DecodedImage& out);

/// Throws FileError where height x width is beyond the limits or beyond `possible`, the most pixels that the file's
/// bytes can hold: memory stays in proportion to the file, whatever its header says.
void check_size(Index height, Index width, Index possible, const std::string& name, const DecodeLimits& limits);
/// The same, then makes `out` height x width x 3.
void make_room(Index height, Index width, Index possible, const std::string& name, const DecodeLimits& limits,
               DecodedImage& out);

}  // namespace swav::resnet
