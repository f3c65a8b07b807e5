// Damage inside a PNG's checksums and compression. In: bytes of good files, random numbers. Out: files whose chunks
// hold together, so that what libpng makes of odd headers, palettes and scanlines is reached.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "mutation.hpp"

namespace swav::test {

struct PngChunk {
  Bytes name;
  Bytes data;
  [[nodiscard]] bool is(std::string_view other) const { return std::ranges::equal(name, other); }
};

constexpr std::size_t png_signature = 8;

/// What zlib packed; empty where it did not.
[[nodiscard]] inline Bytes inflated(const Bytes& packed) {
  constexpr std::size_t most = std::size_t{1} << 22;
  for (std::size_t room = 1 << 12; room <= most; room *= 4) {
    Bytes bytes(room);
    uLongf size = room;
    const int status = uncompress(bytes.data(), &size, packed.data(), packed.size());
    if (status == Z_BUF_ERROR) continue;
    bytes.resize(status == Z_OK ? size : 0);
    return bytes;
  }
  return {};
}

[[nodiscard]] inline Bytes deflated(const Bytes& bytes) {
  uLongf size = compressBound(bytes.size());
  Bytes packed(size);
  compress2(packed.data(), &size, bytes.data(), bytes.size(), 1);
  packed.resize(size);
  return packed;
}

/// The chunks of a good file, its IDATs as one that is inflated.
[[nodiscard]] inline std::vector<PngChunk> png_chunks(const Bytes& file) {
  std::vector<PngChunk> chunks;
  Bytes packed;
  for (std::size_t at = png_signature; at + 12 <= file.size();) {
    const std::size_t length = big_endian_32(file, at);
    if (length > file.size() - at - 12) break;
    const auto data = file.begin() + static_cast<std::ptrdiff_t>(at + 8);
    PngChunk chunk{.name = {data - 4, data}, .data = {data, data + static_cast<std::ptrdiff_t>(length)}};
    at += length + 12;
    const bool is_pixels = chunk.is("IDAT");
    if (is_pixels) packed.insert(packed.end(), chunk.data.begin(), chunk.data.end());
    if (!is_pixels || packed.size() == chunk.data.size()) chunks.push_back(std::move(chunk));
  }
  for (PngChunk& chunk : chunks)
    if (chunk.is("IDAT")) chunk.data = inflated(packed);
  return chunks;
}

/// A file of the chunks, IDATs deflated, checksums right.
[[nodiscard]] inline Bytes png_file_of(const std::vector<PngChunk>& chunks, const Bytes& good) {
  Bytes file(good.begin(), good.begin() + png_signature);
  for (const PngChunk& chunk : chunks) {
    const Bytes data = chunk.is("IDAT") ? deflated(chunk.data) : chunk.data;
    for (int shift = 24; shift >= 0; shift -= 8) file.push_back(static_cast<std::uint8_t>(data.size() >> shift));
    file.insert(file.end(), chunk.name.begin(), chunk.name.end());
    file.insert(file.end(), data.begin(), data.end());
    file.resize(file.size() + 4);
  }
  mend_png(file);
  return file;
}

/// One file of the corpus of which a chunk or two are changed, left out, repeated or moved.
[[nodiscard]] inline Bytes changed_chunks(PhiloxStream& random, const std::vector<Bytes>& corpus) {
  const auto below = [&](std::size_t bound) { return static_cast<std::size_t>(random.below(bound)); };
  Mutation mutation(random);
  const Bytes& good = mutation.any(corpus);
  std::vector<PngChunk> chunks = png_chunks(good);
  for (std::size_t changes = 1 + below(2); changes > 0 && !chunks.empty(); --changes) {
    const std::size_t i = below(chunks.size());
    PngChunk& chunk = chunks[i];
    switch (below(8)) {
      case 0:
        chunks.erase(chunks.begin() + static_cast<std::ptrdiff_t>(i));
        break;
      case 1:
        chunks.push_back(PngChunk(chunk));
        std::swap(chunks.back(), chunks[below(chunks.size())]);
        break;
      default:
        // Of the header a byte, mostly of its last: depth, colour type, compression, filter, interlacing.
        if (chunk.is("IHDR") && chunk.data.size() == 13)
          chunk.data[below(4) == 0 ? below(8) : 8 + below(5)] =
              static_cast<std::uint8_t>(below(below(2) == 0 ? 9 : 256));
        else if (!chunk.data.empty())
          chunk.data = mutation({chunk.data});
    }
  }
  return png_file_of(chunks, good);
}

}  // namespace swav::test
