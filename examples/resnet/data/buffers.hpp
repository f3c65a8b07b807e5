// Working memory that is used for one file after another. In: a buffer. Out: the buffer, without what a huge file left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace swav::resnet {

/// Before the buffer is resized to `needed` bytes: gives its memory back where that is more than 64 MiB and more than
/// four times as much as is needed, so that one huge file does not take a thread's memory for the rest of a run.
inline void release_excess(std::vector<std::uint8_t>& buffer, std::size_t needed) {
  constexpr std::size_t kept = std::size_t{64} << 20;
  if (buffer.capacity() > kept && buffer.capacity() / 4 > needed) std::vector<std::uint8_t>().swap(buffer);
}

}  // namespace swav::resnet
