// Batches for a GPU, which renders their crops itself. In: a data set, memory that the GPU copies from. Out: a batch's
// images in one piece of it, decoded ahead or as JPEG files, and the keys of their crops.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "data/prefetcher.hpp"
#include "train/batch_images.hpp"
#include "train/packed_images.hpp"

namespace swav::resnet {

struct DecodedBatch {
  std::span<const ImageView<std::uint8_t>> images;  ///< of any size each; without data where there is a file:
  std::span<const JpegFile> jpegs;                  ///< an image each, or none at all
  std::span<const CropKey> keys;
  std::span<const std::uint8_t> memory;  ///< the piece that all images and files lie in
};

class DecodedBatches {
 public:
  /// See BatchImages for the images. Throws what that throws.
  DecodedBatches(const ImageSource& images, const BatchOptions& options);

  /// Before the first load: where pixels go. Without an allocator nothing is copied, which wants a data set in memory:
  /// `memory` is then all of its storage().
  void set_memory(HostAllocator allocate) { allocate_ = std::move(allocate); }

  [[nodiscard]] Index per_epoch() const { return images_.per_epoch(); }
  /// Batch `step` (from 0), valid until the next call, to which its memory is given back. Steps asked for in turn are
  /// decoded ahead; any other starts anew. Memory grows with the largest batch there has been.
  [[nodiscard]] const DecodedBatch& load(Index step);

 private:
  struct Slot {
    std::unique_ptr<PackedImages> packed;
    std::vector<CropKey> keys;
  };

  void prepare(Slot& slot, Index step, Index b, std::size_t reader);
  void start_workers(Index step);
  void give(Slot& slot);

  BatchImages images_;
  HostAllocator allocate_;
  std::vector<Slot> slots_;
  std::vector<ImageView<std::uint8_t>> in_place_;  // of a data set in memory
  DecodedBatch batch_;
  std::optional<std::size_t> given_;        // the slot that the caller has
  std::unique_ptr<Prefetcher> prefetcher_;  // the last member: its threads use the others
};

}  // namespace swav::resnet
