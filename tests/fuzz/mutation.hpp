// Damage to files. In: bytes of good ones, random numbers. Out: bytes that are nearly right, whose checksums hold.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <vector>

#include "swav/core/philox.hpp"

namespace swav::test {

using Bytes = std::vector<std::uint8_t>;

/// One file of a corpus after one to four random changes.
class Mutation {
 public:
  explicit Mutation(PhiloxStream& random) : random_(random) {}

  [[nodiscard]] Bytes operator()(const std::vector<Bytes>& corpus) {
    Bytes file = any(corpus);
    for (std::uint64_t changes = 1 + random_.below(4); changes > 0; --changes) change(file, corpus);
    return file;
  }

  [[nodiscard]] const Bytes& any(const std::vector<Bytes>& corpus) { return corpus[below(corpus.size())]; }

 private:
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random_.below(bound)); }
  std::uint8_t byte() { return static_cast<std::uint8_t>(random_.below(256)); }

  /// A place in the file, often in what is likely to be its header.
  std::size_t place(const Bytes& file) {
    return below(random_.below(2) == 0 ? std::min<std::size_t>(file.size(), 128) : file.size());
  }
  static Bytes::iterator at(Bytes& file, std::size_t i) { return file.begin() + static_cast<std::ptrdiff_t>(i); }

  void change(Bytes& file, const std::vector<Bytes>& corpus) {
    if (file.empty()) return;
    const std::size_t i = place(file);
    const std::size_t length = 1 + below(std::min<std::size_t>(file.size() - i, 40));
    switch (random_.below(8)) {
      case 0:
        file[i] ^= static_cast<std::uint8_t>(1u << random_.below(8));
        break;
      case 1:
        file[i] = file[i] >= '0' && file[i] <= '9' ? static_cast<std::uint8_t>('0' + random_.below(10)) : byte();
        break;
      case 2:
        set_extreme(file, i);
        break;
      case 3:
        file.erase(at(file, i), at(file, i + length));
        break;
      case 4: {
        const Bytes piece(at(file, i), at(file, i + length));
        file.insert(at(file, place(file)), piece.begin(), piece.end());
        break;
      }
      case 5: {
        Bytes noise(length);
        for (std::uint8_t& value : noise) value = byte();
        file.insert(at(file, i), noise.begin(), noise.end());
        break;
      }
      case 6:
        file.resize(i);
        break;
      default: {
        const Bytes& other = any(corpus);
        const std::size_t from = below(other.size());
        file.resize(i);
        file.insert(file.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
      }
    }
  }

  /// Counts and sizes that break sums and products.
  void set_extreme(Bytes& file, std::size_t i) {
    constexpr std::array<std::uint32_t, 8> extremes = {0, 1, 0x7F, 0x80, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF};
    const std::uint32_t value = extremes[below(extremes.size())];
    const std::size_t width = std::size_t{1} << random_.below(3);
    const bool big_endian = random_.below(2) == 0;
    for (std::size_t k = 0; k < width && i + k < file.size(); ++k)
      file[i + k] = static_cast<std::uint8_t>(value >> 8 * (big_endian ? width - 1 - k : k));
  }

  PhiloxStream& random_;
};

[[nodiscard]] inline std::size_t big_endian_32(const Bytes& file, std::size_t at) {
  return std::size_t{file[at]} << 24 | std::size_t{file[at + 1]} << 16 | std::size_t{file[at + 2]} << 8 | file[at + 3];
}

/// Replaces one to four letters and digits of text by others, so that it stays text of the same form.
inline void change_alike(std::span<std::uint8_t> text, PhiloxStream& random) {
  const auto is_digit = [](std::uint8_t c) { return c >= '0' && c <= '9'; };
  const auto is_letter = [](std::uint8_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  for (std::uint64_t changes = 1 + random.below(4); changes > 0 && !text.empty(); --changes) {
    std::uint8_t& c = text[static_cast<std::size_t>(random.below(text.size()))];
    if (is_digit(c))
      c = static_cast<std::uint8_t>('0' + random.below(10));
    else if (is_letter(c))
      c = static_cast<std::uint8_t>((random.below(8) == 0 ? 'A' : 'a') + random.below(26));
  }
}

/// Makes the checksums of a PNG's chunks right, as far as chunks can be told.
inline void mend_png(Bytes& file) {
  for (std::size_t chunk = 8; chunk + 12 <= file.size();) {
    const std::size_t length = big_endian_32(file, chunk);
    if (length > file.size() - chunk - 12) return;
    const std::size_t sum_at = chunk + 8 + length;
    const auto sum = static_cast<std::uint32_t>(crc32(0, file.data() + chunk + 4, static_cast<unsigned>(length + 4)));
    for (std::size_t k = 0; k < 4; ++k) file[sum_at + k] = static_cast<std::uint8_t>(sum >> (24 - 8 * k));
    chunk = sum_at + 4;
  }
}

/// Writes the checksum of a tar header.
inline void sum_tar_header(std::span<std::uint8_t> header) {
  std::fill_n(header.begin() + 148, 8, std::uint8_t{' '});
  unsigned sum = 0;
  for (const std::uint8_t value : header) sum += value;
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", sum);
  std::copy_n(digits, 7, header.begin() + 148);
}

/// Makes the checksums of a tar file's headers right: of all blocks that say "ustar".
inline void mend_tar(Bytes& file) {
  for (std::size_t block = 0; block + 512 <= file.size(); block += 512)
    if (std::memcmp(file.data() + block + 257, "ustar", 5) == 0) sum_tar_header(std::span(file).subspan(block, 512));
}

/// What gzip makes of the bytes.
[[nodiscard]] inline Bytes gzip(const Bytes& bytes) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  Bytes packed(deflateBound(&stream, bytes.size()));
  stream.next_in = const_cast<std::uint8_t*>(bytes.data());
  stream.avail_in = static_cast<unsigned>(bytes.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<unsigned>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

}  // namespace swav::test
