// Which library reads a file, and what is the same for both. In: a file's bytes. Out: upright RGB.
#include "data/image_decoder.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "data/buffers.hpp"
#include "data/image_codecs.hpp"
#include "data/orientation.hpp"
#include "swav/io/file_error.hpp"

namespace swav::resnet {
namespace {

constexpr std::array<std::uint8_t, 3> jpeg_start = {0xFF, 0xD8, 0xFF};
constexpr std::array<std::uint8_t, 8> png_start = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

bool starts_with(std::span<const std::uint8_t> file, std::span<const std::uint8_t> start) {
  return file.size() >= start.size() && std::equal(start.begin(), start.end(), file.begin());
}

}  // namespace

struct ImageDecoder::State {
  explicit State(const DecodeLimits& wanted) : limits(wanted) {}

  DecodeLimits limits;
  JpegDecoder jpeg;
  std::vector<std::uint8_t> scratch;
};

ImageDecoder::ImageDecoder(DecodeLimits limits) : state_(std::make_unique<State>(limits)) {}
ImageDecoder::~ImageDecoder() = default;
ImageDecoder::ImageDecoder(ImageDecoder&&) noexcept = default;
ImageDecoder& ImageDecoder::operator=(ImageDecoder&&) noexcept = default;

void ImageDecoder::decode(std::span<const std::uint8_t> file, const std::string& name, DecodedImage& out) {
  if (file.empty()) throw FileError(name, "empty: an image wanted");
  int orientation = 1;
  if (starts_with(file, jpeg_start))
    orientation = state_->jpeg.decode(file, name, state_->limits, out);
  else if (starts_with(file, png_start))
    orientation = decode_png(file, name, state_->limits, out);
  else
    throw FileError(name, "foreign: neither JPEG nor PNG");
  turn_upright(out, orientation, state_->scratch);
}

std::optional<JpegHeader> ImageDecoder::inspect(std::span<const std::uint8_t> file, const std::string& name,
                                                bool whole) {
  if (!starts_with(file, jpeg_start)) return std::nullopt;
  return state_->jpeg.inspect(file, name, state_->limits, whole);
}

void check_size(Index height, Index width, Index possible, const std::string& name, const DecodeLimits& limits) {
  const auto refuse = [&](const std::string& reason) {
    throw FileError(name,
                    "it promises " + std::to_string(height) + " x " + std::to_string(width) + " pixels, " + reason);
  };
  if (height * width > limits.max_pixels) refuse("at most " + std::to_string(limits.max_pixels) + " are read");
  if (height * width > possible) refuse("and is too short to hold them");
}

void make_room(Index height, Index width, Index possible, const std::string& name, const DecodeLimits& limits,
               DecodedImage& out) {
  check_size(height, width, possible, name, limits);
  out.height = height;
  out.width = width;
  out.channels = 3;
  release_excess(out.pixels, static_cast<std::size_t>(height * width * 3));
  out.pixels.resize(static_cast<std::size_t>(height * width * 3));
}

}  // namespace swav::resnet
