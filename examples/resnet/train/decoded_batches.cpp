// Images next to each other, in whatever order threads finish them. In: images. Out: batches.
#include "train/decoded_batches.hpp"

#include <algorithm>
#include <cstring>

#include "train/parallel_images.hpp"

namespace swav::resnet {
namespace {

constexpr std::size_t alignment = 16;

std::size_t bytes_of(const ImageView<std::uint8_t>& image) {
  return static_cast<std::size_t>(image.stride() * image.height);
}

}  // namespace

DecodedBatches::DecodedBatches(const ImageSource& images, const BatchOptions& options) : images_(images, options) {
  const auto count = static_cast<std::size_t>(images_.count());
  for (Slot& slot : slots_) {
    slot.images.resize(count);
    slot.keys.resize(count);
    slot.offsets.resize(count);
    slot.beyond.resize(count);
  }
}

const DecodedBatch& DecodedBatches::load(Index step) {
  if (!allocate_) {
    Slot& slot = slots_[0];
    for (Index b = 0; b < images_.count(); ++b) {
      const auto [image, key] = images_.read(step, b, 0);
      slot.images[static_cast<std::size_t>(b)] = image;
      slot.keys[static_cast<std::size_t>(b)] = key;
    }
    batch_ = {slot.images, slot.keys, images_.source().storage()};
  } else if (images_.workers() == 0) {
    slots_[0].used = 0;
    for_each_image(images_.count(), [&](Index b, std::size_t thread) { prepare(slots_[0], step, b, thread); });
    gather(slots_[0]);
  } else {
    if (given_) {
      slots_[*given_].used = 0;
      prefetcher_->release();
      given_.reset();
    }
    if (!prefetcher_ || prefetcher_->next() != step) start_workers(step);
    given_ = prefetcher_->take();
    gather(slots_[*given_]);
  }
  return batch_;
}

void DecodedBatches::start_workers(Index step) {
  prefetcher_.reset();
  for (Slot& slot : slots_) slot.used = 0;
  prefetcher_ = std::make_unique<Prefetcher>(
      PrefetchOptions{
          .workers = images_.workers(), .slots = BatchImages::slots, .items = images_.count(), .first = step},
      [this](const PrefetchItem& item) { prepare(slots_[item.slot], item.batch, item.item, item.worker); });
}

void DecodedBatches::prepare(Slot& slot, Index step, Index b, std::size_t reader) {
  const auto [image, key] = images_.read(step, b, reader);
  const auto at = static_cast<std::size_t>(b);
  const std::size_t bytes = bytes_of(image);
  slot.images[at] = image;
  slot.keys[at] = key;
  slot.offsets[at] = slot.used.fetch_add((bytes + alignment - 1) / alignment * alignment);
  if (slot.offsets[at] + bytes <= slot.capacity) {
    slot.beyond[at].clear();  // a batch that nobody took may have left one
    std::memcpy(slot.memory.get() + slot.offsets[at], image.data, bytes);
  } else {
    slot.beyond[at].assign(image.data, image.data + bytes);
  }
}

// By the caller's thread alone, which has the slot.
void DecodedBatches::gather(Slot& slot) {
  const std::size_t used = slot.used;
  if (used > slot.capacity) {
    const std::size_t capacity = used + used / 4;
    HostMemory memory = allocate_(capacity);
    std::copy_n(slot.memory.get(), std::min(slot.capacity, used), memory.get());
    slot.memory = std::move(memory);
    slot.capacity = capacity;
  }
  for (std::size_t b = 0; b < slot.images.size(); ++b) {
    std::uint8_t* const pixels = slot.memory.get() + slot.offsets[b];
    std::ranges::copy(slot.beyond[b], pixels);
    std::vector<std::uint8_t>().swap(slot.beyond[b]);
    slot.images[b].data = pixels;
  }
  batch_ = {slot.images, slot.keys, {slot.memory.get(), used}};
}

}  // namespace swav::resnet
