// Images next to each other, in whatever order threads finish them. In: images. Out: one piece of memory.
#include "train/packed_images.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace swav::resnet {
namespace {

constexpr std::size_t alignment = 16;

std::size_t bytes_of(const ImageView<std::uint8_t>& image) {
  return static_cast<std::size_t>(image.stride() * image.height);
}

}  // namespace

PackedImages::PackedImages(Index count)
    : images_(static_cast<std::size_t>(count)),
      offsets_(static_cast<std::size_t>(count)),
      beyond_(static_cast<std::size_t>(count)) {}

void PackedImages::clear() {
  used_ = 0;
  std::ranges::fill(images_, ImageView<std::uint8_t>());
}

void PackedImages::put(Index at, const ImageView<std::uint8_t>& image) {
  const auto i = static_cast<std::size_t>(at);
  const std::size_t bytes = bytes_of(image);
  images_[i] = image;
  offsets_[i] = used_.fetch_add((bytes + alignment - 1) / alignment * alignment);
  if (offsets_[i] + bytes <= capacity_) {
    beyond_[i].clear();  // a batch that nobody took may have left one
    std::memcpy(memory_.get() + offsets_[i], image.data, bytes);
  } else {
    beyond_[i].assign(image.data, image.data + bytes);
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
    if (images_[i].data == nullptr) continue;
    std::uint8_t* const pixels = memory_.get() + offsets_[i];
    std::ranges::copy(beyond_[i], pixels);
    std::vector<std::uint8_t>().swap(beyond_[i]);
    images_[i].data = pixels;
  }
}

}  // namespace swav::resnet
