// Images next to each other, in whatever order threads finish them. In: images. Out: one piece of memory.
#include "train/packed_images.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace swav::resnet {
namespace {

constexpr std::size_t alignment = 16;

std::span<const std::uint8_t> bytes_of(const ReadImage& read) {
  if (!read.jpeg.bytes.empty()) return read.jpeg.bytes;
  return {read.image.data, static_cast<std::size_t>(read.image.stride() * read.image.height)};
}

}  // namespace

PackedImages::PackedImages(Index count)
    : images_(static_cast<std::size_t>(count)),
      jpegs_(static_cast<std::size_t>(count)),
      offsets_(static_cast<std::size_t>(count)),
      beyond_(static_cast<std::size_t>(count)) {}

void PackedImages::clear() {
  used_ = 0;
  std::ranges::fill(images_, ImageView<std::uint8_t>());
  std::ranges::fill(jpegs_, JpegFile());
}

void PackedImages::put(Index at, const ReadImage& image) {
  const auto i = static_cast<std::size_t>(at);
  const std::span<const std::uint8_t> bytes = bytes_of(image);
  images_[i] = image.image;
  jpegs_[i] = image.jpeg;
  offsets_[i] = used_.fetch_add((bytes.size() + alignment - 1) / alignment * alignment);
  if (offsets_[i] + bytes.size() <= capacity_) {
    beyond_[i].clear();  // a batch that nobody took may have left one
    std::memcpy(memory_.get() + offsets_[i], bytes.data(), bytes.size());
  } else {
    beyond_[i].assign(bytes.begin(), bytes.end());
  }
}

void PackedImages::gather(const HostAllocator& allocate) {
  const std::size_t used = used_;
  if (used > capacity_) {
    const std::size_t capacity = used + used / 4;
    HostMemory memory = allocate(capacity);
    std::copy_n(memory_.get(), std::min(capacity_, used), memory.get());
    memory_ = std::move(memory);
    capacity_ = capacity;
  }
  for (std::size_t i = 0; i < images_.size(); ++i) {
    const bool is_file = !jpegs_[i].bytes.empty();
    if (images_[i].data == nullptr && !is_file) continue;
    std::uint8_t* const bytes = memory_.get() + offsets_[i];
    std::ranges::copy(beyond_[i], bytes);
    std::vector<std::uint8_t>().swap(beyond_[i]);
    if (is_file)
      jpegs_[i].bytes = {bytes, jpegs_[i].bytes.size()};
    else
      images_[i].data = bytes;
  }
}

}  // namespace swav::resnet
