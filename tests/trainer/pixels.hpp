// What tests compare of images. In: a reader, a folder. Out: pixels with their size, without any where there are none;
// what loading says.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "data/image_source.hpp"
#include "files.hpp"
#include "swav/io/file_error.hpp"

namespace swav::test {

struct Pixels {
  Index height = 0, width = 0, channels = 0;
  Bytes values = {};
  friend bool operator==(const Pixels&, const Pixels&) = default;
};

/// Without any where the image cannot be read.
inline Pixels pixels_of(resnet::ImageReader& reader, Index i) {
  const ImageView<std::uint8_t> image = reader.read(i);
  if (image.data == nullptr) return {};
  return {image.height,
          image.width,
          image.channels,
          {image.data, image.data + image.height * image.width * image.channels}};
}

inline std::vector<Pixels> all_pixels(const resnet::ImageSource& images) {
  std::vector<Pixels> all;
  const std::unique_ptr<resnet::ImageReader> reader = images.reader();
  for (Index i = 0; i < images.count(); ++i) all.push_back(pixels_of(*reader, i));
  return all;
}

/// What the FileError says that loading gives; "" when it gives none.
inline std::string load_failure(const std::filesystem::path& folder) {
  try {
    (void)resnet::load_image_folder(folder, {});
  } catch (const FileError& error) {
    return error.what();
  }
  return "";
}

}  // namespace swav::test
