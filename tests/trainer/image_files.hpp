// Small pictures as files, loose and in tar shards. In: numbers. Out: PNG and JPEG files whose pixels tell them apart.
#pragma once

#include <cstddef>
#include <cstdio>
// After <cstdio>, which it needs.
#include <jpeglib.h>
#include <png.h>

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "files.hpp"
#include "swav/core/philox.hpp"

namespace swav::test {

/// Noise in a colour of the class, height x width x channels (1 or 3).
inline Bytes picture(std::uint64_t number, int label, int height, int width, int channels) {
  PhiloxStream random(number, 7);
  Bytes pixels;
  for (int i = 0; i < height * width; ++i)
    for (int c = 0; c < channels; ++c)
      pixels.push_back(static_cast<std::uint8_t>(random.below(90) + (c == label % 3 ? 160 : 0)));
  return pixels;
}

inline Bytes png_file(const Bytes& pixels, int height, int width, int channels) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&image, nullptr, &size, 0, pixels.data(), 0, nullptr);
  Bytes file(size);
  png_image_write_to_memory(&image, file.data(), &size, 0, pixels.data(), 0, nullptr);
  file.resize(size);
  return file;
}

inline Bytes jpeg_file(const Bytes& pixels, int height, int width, int channels) {
  jpeg_error_mgr errors;
  jpeg_compress_struct state;
  state.err = jpeg_std_error(&errors);
  jpeg_create_compress(&state);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&state, &memory, &size);
  state.image_width = static_cast<JDIMENSION>(width);
  state.image_height = static_cast<JDIMENSION>(height);
  state.input_components = channels;
  state.in_color_space = channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(&state);
  jpeg_start_compress(&state, TRUE);
  while (state.next_scanline < state.image_height) {
    auto* row = const_cast<JSAMPLE*>(pixels.data()) + state.next_scanline * static_cast<std::size_t>(width * channels);
    jpeg_write_scanlines(&state, &row, 1);
  }
  jpeg_finish_compress(&state);
  Bytes file(memory, memory + size);
  jpeg_destroy_compress(&state);
  std::free(memory);
  return file;
}

/// Image `number` as a file: JPEG or PNG, colour or grey, 20 to 40 pixels a side.
inline Bytes small_file(int number, int label) {
  const int height = 20 + number % 11, width = 20 + number * 7 % 21, channels = number % 5 == 3 ? 1 : 3;
  const Bytes pixels = picture(static_cast<std::uint64_t>(number), label, height, width, channels);
  return number % 2 == 0 ? jpeg_file(pixels, height, width, channels) : png_file(pixels, height, width, channels);
}

inline std::string small_file_name(int number) {
  std::string digits = std::to_string(number);
  digits.insert(0, 4 - digits.size(), '0');
  return digits + (number % 2 == 0 ? ".JPG" : ".png");
}

/// A class folder each for `classes` classes, image i in that of class i % classes.
inline void write_class_folders(const std::filesystem::path& folder, int count, int classes, int first = 0) {
  for (int i = first; i < first + count; ++i) {
    const std::filesystem::path where = folder / std::string(1, static_cast<char>('a' + i % classes));
    std::filesystem::create_directories(where);
    write_bytes(where / small_file_name(i), small_file(i, i % classes));
  }
}

/// A tar member with its header of the ustar format, padded to whole blocks.
inline Bytes tar_member(const std::string& name, const Bytes& content, char type = '0') {
  Bytes block(512, 0);
  const auto put = [&](std::size_t at, std::string_view text) {
    std::copy(text.begin(), text.end(), block.begin() + static_cast<std::ptrdiff_t>(at));
  };
  const auto put_octal = [&](std::size_t at, int digits, std::size_t value) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%0*zo", digits, value);
    put(at, text.data());
  };
  put(0, std::string_view(name).substr(0, 100));
  put_octal(100, 7, 0644);
  put_octal(124, 11, content.size());
  put_octal(136, 11, 0);
  put(148, "        ");
  block[156] = static_cast<std::uint8_t>(type);
  put(257, std::string_view("ustar\00000", 8));
  std::size_t sum = 0;
  for (const std::uint8_t byte : block) sum += byte;
  put_octal(148, 6, sum);
  block[154] = 0;
  block.insert(block.end(), content.begin(), content.end());
  block.resize((block.size() + 511) / 512 * 512);
  return block;
}

inline Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// With the end that a tar file has.
inline void write_tar(const std::filesystem::path& path, const Bytes& members) {
  std::filesystem::create_directories(path.parent_path());
  write_bytes(path, members + Bytes(1024, 0));
}

/// Image `number` and its class as WebDataset stores them.
inline Bytes sample(const std::string& key, int number, int label) {
  return tar_member(key + (number % 2 == 0 ? ".jpg" : ".png"), small_file(number, label)) +
         tar_member(key + ".cls", bytes_of(std::to_string(label)));
}

}  // namespace swav::test
