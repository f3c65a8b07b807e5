// PNG on libpng's row interface: its simplified one composes transparency and applies gamma, and Pillow does neither.
// In: bytes. Out: RGB. Nothing is ever printed.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <string>

#include "data/image_codecs.hpp"
#include "data/orientation.hpp"
#include "swav/io/file_error.hpp"

namespace swav::resnet {
namespace {

/// What libpng's callbacks share.
struct Source {
  std::span<const std::uint8_t> rest;
  char message[128];
};

void read_bytes(png_structp png, png_bytep out, std::size_t count) {
  auto& source = *static_cast<Source*>(png_get_io_ptr(png));
  if (count > source.rest.size()) png_error(png, "the file ends too early");
  std::copy_n(source.rest.begin(), count, out);
  source.rest = source.rest.subspan(count);
}

[[noreturn]] void escape(png_structp png, png_const_charp message) {
  auto& source = *static_cast<Source*>(png_get_error_ptr(png));
  std::snprintf(source.message, sizeof source.message, "%s", message);
  png_longjmp(png, 1);
}

void drop_warning(png_structp, png_const_charp) {}

struct Reader {
  explicit Reader(Source& source)
      : png(png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, escape, drop_warning)),
        info(png == nullptr ? nullptr : png_create_info_struct(png)) {}
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  png_structp png;
  png_infop info;
};

// Nothing in the two functions that setjmp guards has a destructor.

bool read_header(png_structp png, png_infop info, Source& source) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_read_fn(png, &source, read_bytes);
  // What is not pixels is skipped: libpng would take the memory that such a chunk promises.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(png, info);
  png_set_palette_to_rgb(png);
  png_set_expand_gray_1_2_4_to_8(png);
  png_set_gray_to_rgb(png);
  png_set_strip_16(png);
  png_set_strip_alpha(png);
  return true;
}

bool read_rows(png_structp png, png_infop info, std::uint8_t* rgb) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const std::size_t stride = png_get_rowbytes(png, info);
  if (stride != std::size_t{3} * png_get_image_width(png, info)) png_error(png, "its colours are of no known kind");
  const png_uint_32 height = png_get_image_height(png, info);
  for (int pass = 0; pass < passes; ++pass)
    for (png_uint_32 y = 0; y < height; ++y) png_read_row(png, rgb + y * stride, nullptr);
  png_read_end(png, info);
  return true;
}

/// From the eXIf chunk. Every chunk is its length, its name, the data and a checksum of four bytes.
int stored_orientation(std::span<const std::uint8_t> file) {
  constexpr std::size_t signature = 8;
  constexpr png_byte exif[] = {'e', 'X', 'I', 'f'};
  for (std::span<const std::uint8_t> rest = file.subspan(signature); rest.size() >= 12;) {
    const std::size_t length = png_get_uint_32(rest.data());
    if (length > rest.size() - 12) break;
    if (std::equal(std::begin(exif), std::end(exif), rest.begin() + 4))
      return exif_orientation(rest.subspan(8, length));
    rest = rest.subspan(length + 12);
  }
  return 1;
}

}  // namespace

int decode_png(std::span<const std::uint8_t> file, const std::string& name, const DecodeLimits& limits,
               DecodedImage& out) {
  Source source{.rest = file, .message = "no memory for libpng"};
  const Reader reader(source);
  const auto check = [&](bool done) {
    if (!done) throw FileError(name, std::string("damaged: ") + source.message);
  };
  check(reader.info != nullptr && read_header(reader.png, reader.info, source));
  const Index bits = png_get_bit_depth(reader.png, reader.info) * png_get_channels(reader.png, reader.info);
  // A bit of DEFLATE stands for 1032 at most: a match of 258 bytes from two.
  const Index possible = 1032 * 8 * static_cast<Index>(file.size()) / std::max<Index>(bits, 1);
  make_room(static_cast<Index>(png_get_image_height(reader.png, reader.info)),
            static_cast<Index>(png_get_image_width(reader.png, reader.info)), possible, name, limits, out);
  check(read_rows(reader.png, reader.info, out.pixels.data()));
  return stored_orientation(file);
}

}  // namespace swav::resnet
