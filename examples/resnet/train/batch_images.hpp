// Which images a batch has. In: a data set, a seed. Out: an image and the key of its crops, for any place of any batch,
// the same whoever asks and whatever was asked for before.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "data/image_source.hpp"
#include "swav/crops/basic_multi_crop.hpp"

namespace swav::resnet {

struct BatchOptions {
  Index batch_size = 1;
  Index first = 0;  ///< Of the batch's images, those from this one on are taken,
  Index count = 0;  ///< so many of them; 0: all that follow.
  std::uint64_t seed = 0;
  Index multiple = 1;  ///< An epoch's batches are a multiple of this: those of a step.
  int workers = 0;     ///< Threads that work ahead; 0: the step's own threads work, when asked.
  bool files = false;  ///< JPEG files are not decoded where others can: ImageReader::read_file.
};

class BatchImages {
 public:
  /// Batches that threads may be at, at a time: one that is used, one that waits, one that is being prepared.
  static constexpr std::size_t slots = 3;

  struct Item {
    ReadImage image;  ///< valid until the same reader reads again
    CropKey key;
  };

  /// `images` has to outlive this. Throws InvalidInput when there are fewer images than a batch has.
  BatchImages(const ImageSource& images, const BatchOptions& options);

  [[nodiscard]] Index per_epoch() const { return per_epoch_; }
  /// Images of a batch that are taken.
  [[nodiscard]] Index count() const { return options_.count; }
  [[nodiscard]] int workers() const { return options_.workers; }
  [[nodiscard]] const ImageSource& source() const { return images_; }

  /// Image first + b of batch `step` (from 0), by a reader that no other thread uses: below workers(), or the number of
  /// one of OpenMP's threads. One that cannot be read is replaced by the next of the epoch's order, under the random
  /// numbers of the one it stands for. Throws what reading throws.
  [[nodiscard]] Item read(Index step, Index b, std::size_t reader);

 private:
  struct EpochOrder {
    Index epoch = -1;
    std::vector<Index> images;
  };

  [[nodiscard]] const std::vector<Index>& order_of(Index epoch);

  const ImageSource& images_;
  BatchOptions options_;
  Index per_epoch_;
  std::vector<std::unique_ptr<ImageReader>> readers_;
  std::mutex order_mutex_;
  std::array<EpochOrder, slots> orders_;  // batches that are prepared at a time are of no more epochs
};

}  // namespace swav::resnet
