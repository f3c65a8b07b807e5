// Batches of decoded images, by the caller's threads or by workers ahead of it. In: images. Out: batches.
#include "train/decoded_batches.hpp"

#include "train/parallel_images.hpp"

namespace swav::resnet {

DecodedBatches::DecodedBatches(const ImageSource& images, const BatchOptions& options) : images_(images, options) {
  const auto count = static_cast<std::size_t>(images_.count());
  for (std::size_t slot = 0; slot < BatchImages::slots; ++slot)
    slots_.push_back({std::make_unique<PackedImages>(images_.count()), std::vector<CropKey>(count)});
  in_place_.resize(count);
}

const DecodedBatch& DecodedBatches::load(Index step) {
  if (!allocate_) {
    Slot& slot = slots_[0];
    for (Index b = 0; b < images_.count(); ++b) {
      const auto [image, key] = images_.read(step, b, 0);
      in_place_[static_cast<std::size_t>(b)] = image.image;
      slot.keys[static_cast<std::size_t>(b)] = key;
    }
    batch_ = {in_place_, {}, slot.keys, images_.source().storage()};
  } else if (images_.workers() == 0) {
    slots_[0].packed->clear();
    for_each_image(images_.count(), [&](Index b, std::size_t thread) { prepare(slots_[0], step, b, thread); });
    give(slots_[0]);
  } else {
    if (given_) {
      slots_[*given_].packed->clear();
      prefetcher_->release();
      given_.reset();
    }
    if (!prefetcher_ || prefetcher_->next() != step) start_workers(step);
    given_ = prefetcher_->take();
    give(slots_[*given_]);
  }
  return batch_;
}

void DecodedBatches::start_workers(Index step) {
  prefetcher_.reset();
  for (Slot& slot : slots_) slot.packed->clear();
  prefetcher_ = std::make_unique<Prefetcher>(
      PrefetchOptions{
          .workers = images_.workers(), .slots = BatchImages::slots, .items = images_.count(), .first = step},
      [this](const PrefetchItem& item) { prepare(slots_[item.slot], item.batch, item.item, item.worker); });
}

void DecodedBatches::prepare(Slot& slot, Index step, Index b, std::size_t reader) {
  const auto [image, key] = images_.read(step, b, reader);
  slot.packed->put(b, image);
  slot.keys[static_cast<std::size_t>(b)] = key;
}

// By the caller's thread alone, which has the slot.
void DecodedBatches::give(Slot& slot) {
  slot.packed->gather(allocate_);
  batch_ = {slot.packed->images(), slot.packed->jpegs(), slot.keys, slot.packed->memory()};
}

}  // namespace swav::resnet
