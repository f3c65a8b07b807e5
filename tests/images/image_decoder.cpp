// The decoder against Pillow (tests/golden/images.py), and files that are none. In: images.safetensors. Out:
// assertions.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include "data/image_decoder.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "data/orientation.hpp"
#include "swav/io/file_error.hpp"
#include "swav/io/safetensors.hpp"

namespace {

using swav::FileError;
using swav::Index;
using swav::SafetensorsFile;
using swav::StoredTensor;
using swav::resnet::DecodedImage;
using swav::resnet::ImageDecoder;
using Bytes = std::vector<std::uint8_t>;

const SafetensorsFile& golden() {
  static const SafetensorsFile file(std::string(SWAV_GOLDEN_DIR) + "/images.safetensors");
  return file;
}

Bytes bytes_of(const std::string& name) {
  const StoredTensor& tensor = golden().at(name);
  Bytes bytes(tensor.bytes.size());
  std::memcpy(bytes.data(), tensor.bytes.data(), bytes.size());
  return bytes;
}

/// What is wrong with the file; "" where nothing is.
std::string failure(const Bytes& file, ImageDecoder& decoder) {
  DecodedImage image;
  try {
    decoder.decode(file, "some.file", image);
  } catch (const FileError& error) {
    CHECK(error.path() == "some.file");
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Where a JPEG's frame header has its height, followed by its width, of two bytes each.
std::size_t height_of(const Bytes& jpeg) {
  std::size_t at = 2;
  while (jpeg[at + 1] != 0xC0 && jpeg[at + 1] != 0xC2)
    at += 2 + (std::size_t{jpeg[at + 2]} << 8 | std::size_t{jpeg[at + 3]});
  return at + 5;
}

}  // namespace

TEST_CASE("every kind of JPEG and PNG has Pillow's pixels, upright") {
  ImageDecoder decoder;
  DecodedImage image;
  int files = 0;
  for (const StoredTensor& tensor : golden().tensors()) {
    if (!tensor.name.starts_with("pixels ")) continue;
    const std::string name = tensor.name.substr(7);
    CAPTURE(name);
    decoder.decode(bytes_of(name), name, image);
    REQUIRE(std::vector<Index>{image.height, image.width, image.channels} == tensor.shape);
    CHECK(image.pixels == bytes_of(tensor.name));
    CHECK(image.view().stride() == image.width * 3);
    ++files;
  }
  CHECK(files == 42);
}

TEST_CASE("files that are no image, or not all of one, are refused by name, and the decoder goes on") {
  ImageDecoder decoder;
  CHECK(has(failure({}, decoder), "some.file: empty"));
  CHECK(has(failure({'G', 'I', 'F', '8', '9', 'a'}, decoder), "neither JPEG nor PNG"));
  for (const char* name :
       {"baseline.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "interlaced.png", "palette_4.png"}) {
    CAPTURE(name);
    const Bytes whole = bytes_of(name);
    for (std::size_t length = 1; length < whole.size(); length += length < 40 ? 1 : 29)
      CHECK(failure(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)), decoder) != "");
    Bytes all_but_one = whole;
    all_but_one.pop_back();
    CHECK(failure(all_but_one, decoder) != "");
    CHECK(failure(whole, decoder) == "");
  }
  Bytes damaged = bytes_of("baseline.jpg");
  for (std::size_t i = damaged.size() - 200; i < damaged.size() - 100; ++i) damaged[i] = 0xFF;
  CHECK(has(failure(damaged, decoder), "damaged: "));
  damaged = bytes_of("rgb.png");
  damaged[damaged.size() / 2] ^= 1;
  CHECK(has(failure(damaged, decoder), "damaged: "));
}

TEST_CASE("JPEG files are told of to other decoders: upright sizes, and damage as decoding finds it") {
  ImageDecoder decoder;
  DecodedImage image;
  int told = 0;
  for (const StoredTensor& tensor : golden().tensors()) {
    if (!tensor.name.starts_with("pixels ")) continue;
    const std::string name = tensor.name.substr(7);
    CAPTURE(name);
    const auto header = decoder.inspect(bytes_of(name), name, true);
    const bool kept = !name.ends_with(".jpg") || has(name, "cmyk") || has(name, "ycck") || has(name, "grey") ||
                      has(name, "rgb") || has(name, "arithmetic");
    CHECK(header.has_value() == !kept);
    if (!header) continue;
    CHECK(std::vector<Index>{header->height, header->width, 3} == tensor.shape);
    CHECK(decoder.inspect(bytes_of(name), name, false).has_value());
    ++told;
  }
  CHECK(told >= 10);
  const auto told_failure = [&](const Bytes& file) -> std::string {
    try {
      (void)decoder.inspect(file, "some.file", true);
    } catch (const FileError& error) {
      return error.what();
    }
    return "";
  };
  for (const char* name : {"baseline.jpg", "progressive.jpg"}) {
    CAPTURE(name);
    const Bytes whole = bytes_of(name);
    for (std::size_t length = 3; length < whole.size(); length += length < 40 ? 1 : 29) {
      const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      CHECK(told_failure(part) == failure(part, decoder));
    }
    for (std::size_t at = 40; at < whole.size(); at += 31) {
      Bytes damaged = whole;
      std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(at), std::min<std::size_t>(8, whole.size() - at), 0xFF);
      const std::string found = failure(damaged, decoder);
      // What makes it another kind of file is left to decode().
      if (const std::string mine = told_failure(damaged); mine != "")
        CHECK(mine == found);
      else if (found != "")
        CHECK_FALSE(decoder.inspect(damaged, "some.file", true).has_value());
    }
  }
}

TEST_CASE("a header that promises more than the limit, or than its bytes can hold, is refused") {
  ImageDecoder small({.max_pixels = 100});
  ImageDecoder decoder;
  for (const char* name : {"baseline.jpg", "progressive.jpg", "grey.jpg"}) {
    CAPTURE(name);
    Bytes file = bytes_of(name);
    CHECK(has(failure(file, small), "at most 100 are read"));
    const Bytes size = {0xEA, 0x60, 0x01, 0x00};
    std::copy(size.begin(), size.end(), file.begin() + static_cast<std::ptrdiff_t>(height_of(file)));
    CHECK(has(failure(file, decoder), "promises 60000 x 256 pixels, and is too short"));
  }
  CHECK(has(failure(bytes_of("rgb.png"), small), "at most 100 are read"));
  CHECK(has(failure(bytes_of("bomb.png"), decoder), "promises 1024 x 1024 pixels, and is too short"));
}

TEST_CASE("nothing is printed, whatever the file") {
  std::FILE* sink = std::tmpfile();
  REQUIRE(sink != nullptr);
  std::fflush(stderr);
  const int kept = dup(STDERR_FILENO);
  dup2(fileno(sink), STDERR_FILENO);
  {
    ImageDecoder decoder;
    for (const char* name : {"baseline.jpg", "strange_bytes.jpg", "rgb.png"}) {
      Bytes file = bytes_of(name);
      (void)failure(file, decoder);
      file.resize(file.size() / 2);
      (void)failure(file, decoder);
    }
  }
  std::fflush(stderr);
  dup2(kept, STDERR_FILENO);
  close(kept);
  std::fseek(sink, 0, SEEK_END);
  CHECK(std::ftell(sink) == 0);
  std::fclose(sink);
}

TEST_CASE("an orientation that makes no sense leaves the image as it is") {
  using swav::resnet::exif_orientation;
  const Bytes little = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0};
  const Bytes big = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 8, 0, 0};
  CHECK(exif_orientation(little) == 6);
  CHECK(exif_orientation(big) == 8);
  CHECK(exif_orientation({}) == 1);
  for (std::size_t length = 0; length < 19; ++length) CHECK(exif_orientation(std::span(little).first(length)) == 1);
  for (const int value : {0, 9, 255}) {
    Bytes odd = little;
    odd[18] = static_cast<std::uint8_t>(value);
    CHECK(exif_orientation(odd) == 1);
  }
  Bytes far = little;
  far[4] = far[5] = far[6] = far[7] = 255;
  CHECK(exif_orientation(far) == 1);
}
