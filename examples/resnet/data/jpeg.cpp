// JPEG on libjpeg-turbo's own interface, which tells damage from harmless oddities and hands out EXIF data; TurboJPEG's
// does neither. In: bytes. Out: RGB. Nothing is ever printed.
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// This needs <cstdio> before it.
#include <jpeglib.h>
// This one needs the other before it.
#include <jerror.h>

#include "data/image_codecs.hpp"
#include "data/orientation.hpp"
#include "swav/io/file_error.hpp"

namespace swav::resnet {
namespace {

/// Larger images are not decoded elsewhere: their coefficients, which are looked at here, take much memory.
constexpr Index most_inspected_pixels = Index{1} << 25;

/// A file of more is made to keep its reader busy: an ordinary progressive one has ten.
constexpr int most_scans = 500;

/// libjpeg's error manager (its first member, as libjpeg wants it) and where an error returns to.
struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
};

ErrorManager& errors_of(j_common_ptr info) { return *reinterpret_cast<ErrorManager*>(info->err); }

[[noreturn]] void escape(j_common_ptr info) {
  ErrorManager& errors = errors_of(info);
  errors.base.format_message(info, errors.message);
  std::longjmp(errors.escape, 1);
}

/// Warnings that mean lost pixels are errors; what is odd but decoded in full (a foreign Adobe transform, bytes between
/// segments) is not.
void take_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
      escape(info);
    default:
      break;
  }
}

void drop_message(j_common_ptr) {}

void count_scans(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= most_scans) return;
  std::snprintf(errors_of(info).message, JMSG_LENGTH_MAX, "more than %d scans", most_scans);
  std::longjmp(errors_of(info).escape, 1);
}

/// As Pillow: the inks are stored inverted, and the black is taken off the other three.
void cmyk_to_rgb(const std::uint8_t* cmyk, Index width, std::uint8_t* rgb) {
  for (Index x = 0; x < width; ++x, cmyk += 4, rgb += 3)
    for (int c = 0; c < 3; ++c) {
      const int black = cmyk[3], ink = 255 - cmyk[c];
      // ink * black / 255, rounded.
      const int product = ink * black + 128;
      rgb[c] = static_cast<std::uint8_t>(black - ((product + (product >> 8)) >> 8));
    }
}

}  // namespace

struct JpegDecoder::State {
  jpeg_decompress_struct info{};
  ErrorManager errors{};
  jpeg_progress_mgr progress{};
  std::vector<std::uint8_t> cmyk_row;
};

namespace {

// Nothing in the two functions that setjmp guards has a destructor.

bool read_header(jpeg_decompress_struct& info, ErrorManager& errors, const std::uint8_t* bytes, std::size_t size) {
  if (setjmp(errors.escape) != 0) return false;
  jpeg_mem_src(&info, bytes, static_cast<unsigned long>(size));
  jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&info, TRUE);
  const bool cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  return true;
}

bool read_rows(jpeg_decompress_struct& info, ErrorManager& errors, std::uint8_t* rgb, std::uint8_t* cmyk_row) {
  if (setjmp(errors.escape) != 0) return false;
  jpeg_start_decompress(&info);
  const auto width = static_cast<Index>(info.output_width);
  while (info.output_scanline < info.output_height) {
    std::uint8_t* out = rgb + static_cast<Index>(info.output_scanline) * width * 3;
    JSAMPROW row = info.out_color_space == JCS_CMYK ? cmyk_row : out;
    jpeg_read_scanlines(&info, &row, 1);
    if (info.out_color_space == JCS_CMYK) cmyk_to_rgb(cmyk_row, width, out);
  }
  jpeg_finish_decompress(&info);
  return true;
}

/// Takes all codes apart, as decoding does, without making pixels of them.
bool read_codes(jpeg_decompress_struct& info, ErrorManager& errors) {
  if (setjmp(errors.escape) != 0) return false;
  jpeg_read_coefficients(&info);
  jpeg_finish_decompress(&info);
  return true;
}

/// Huffman codes spend a bit on each block of 64 pixels at least; arithmetic ones may spend less.
Index possible_pixels(const jpeg_decompress_struct& info, std::size_t bytes, const DecodeLimits& limits) {
  return info.arith_code ? limits.max_pixels : 64 * 8 * static_cast<Index>(bytes);
}

bool is_plain(const jpeg_decompress_struct& info) {
  if (info.jpeg_color_space != JCS_YCbCr || info.num_components != 3 || info.data_precision != 8 || info.arith_code)
    return false;
  const jpeg_component_info* const part = info.comp_info;
  for (int chroma = 1; chroma < 3; ++chroma)
    if (part[chroma].h_samp_factor != 1 || part[chroma].v_samp_factor != 1) return false;
  const int across = part[0].h_samp_factor, down = part[0].v_samp_factor;
  return (across == 1 || across == 2 || across == 4) && (down == 1 || down == 2);
}

int stored_orientation(const jpeg_decompress_struct& info) {
  constexpr char prefix[] = {'E', 'x', 'i', 'f', 0, 0};
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker != nullptr; marker = marker->next)
    if (marker->data_length > sizeof prefix && std::memcmp(marker->data, prefix, sizeof prefix) == 0)
      return exif_orientation({marker->data + sizeof prefix, marker->data_length - sizeof prefix});
  return 1;
}

/// However a file ends, libjpeg is ready for the next.
struct Rewind {
  jpeg_decompress_struct& info;
  ~Rewind() { jpeg_abort_decompress(&info); }
};

void check(bool done, const std::string& name, const ErrorManager& errors) {
  if (!done) throw FileError(name, std::string("damaged: ") + errors.message);
}

}  // namespace

JpegDecoder::JpegDecoder() : state_(std::make_unique<State>()) {
  jpeg_decompress_struct& info = state_->info;
  ErrorManager& errors = state_->errors;
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = escape;
  errors.base.emit_message = take_message;
  errors.base.output_message = drop_message;
  if (setjmp(errors.escape) != 0) throw std::runtime_error(errors.message);
  jpeg_create_decompress(&info);
  state_->progress.progress_monitor = count_scans;
  info.progress = &state_->progress;
}

JpegDecoder::~JpegDecoder() { jpeg_destroy_decompress(&state_->info); }

int JpegDecoder::decode(std::span<const std::uint8_t> file, const std::string& name, const DecodeLimits& limits,
                        DecodedImage& out) {
  jpeg_decompress_struct& info = state_->info;
  ErrorManager& errors = state_->errors;
  const Rewind rewind{info};
  check(read_header(info, errors, file.data(), file.size()), name, errors);
  make_room(static_cast<Index>(info.image_height), static_cast<Index>(info.image_width),
            possible_pixels(info, file.size(), limits), name, limits, out);
  const int orientation = stored_orientation(info);
  if (info.out_color_space == JCS_CMYK) state_->cmyk_row.resize(static_cast<std::size_t>(out.width) * 4);
  check(read_rows(info, errors, out.pixels.data(), state_->cmyk_row.data()), name, errors);
  return orientation;
}

std::optional<JpegHeader> JpegDecoder::inspect(std::span<const std::uint8_t> file, const std::string& name,
                                               const DecodeLimits& limits, bool whole) {
  jpeg_decompress_struct& info = state_->info;
  ErrorManager& errors = state_->errors;
  const Rewind rewind{info};
  check(read_header(info, errors, file.data(), file.size()), name, errors);
  JpegHeader header{static_cast<Index>(info.image_height), static_cast<Index>(info.image_width),
                    stored_orientation(info)};
  check_size(header.height, header.width, possible_pixels(info, file.size(), limits), name, limits);
  if (!is_plain(info) || header.height * header.width > most_inspected_pixels) return std::nullopt;
  if (whole) check(read_codes(info, errors), name, errors);
  if (header.orientation >= 5) std::swap(header.height, header.width);
  return header;
}

}  // namespace swav::resnet
