// The batches of a run. In: images, how to crop them, a seed. Out: crops in the network's inputs, the same for the same
// step whoever renders them and whatever was loaded before.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "data/image_source.hpp"
#include "data/prefetcher.hpp"
#include "model/architecture.hpp"
#include "swav/crops/multi_crop.hpp"

namespace swav::resnet {

struct BatchOptions {
  Index batch_size = 1;
  Index first = 0;  ///< Of the batch's images, those from this one on are rendered,
  Index count = 0;  ///< so many of them; 0: all that follow.
  std::uint64_t seed = 0;
  Index multiple = 1;  ///< An epoch's batches are a multiple of this: those of a step.
  int workers = 0;     ///< Threads that render ahead; 0: the step's own threads render, when asked.
};

class Batches {
 public:
  /// `groups` are the network's inputs, to which the sampler's views belong in turn. `images` and `crops` have to
  /// outlive this. Throws InvalidInput when there are fewer images than a batch has.
  Batches(const ImageSource& images, const MultiCropSampler& crops, std::vector<ImageGroup> groups,
          const BatchOptions& options);

  [[nodiscard]] Index per_epoch() const { return per_epoch_; }

  /// Fills inputs[g] with the crops of batch `step` (from 0) for group g: view v of image first + b is row v count + b,
  /// where v counts the group's views. An image that cannot be read is replaced by the next of the epoch's order, under
  /// the random numbers of the one it stands for. Steps asked for in turn are rendered ahead; any other starts anew.
  /// Throws what reading an image throws.
  void load(Index step, std::span<float* const> inputs);

 private:
  static constexpr std::size_t most_groups = 2;
  static constexpr std::size_t slots = 2;  // one that waits, one that is being rendered
  using GroupInputs = std::array<float*, most_groups>;

  struct EpochOrder {
    Index epoch = -1;
    std::vector<Index> images;
  };

  [[nodiscard]] const std::vector<Index>& order_of(Index epoch);
  void render(Index step, Index b, ImageReader& reader, const GroupInputs& inputs);
  void start_workers(Index step);

  const ImageSource& images_;
  const MultiCropSampler& crops_;
  std::vector<ImageGroup> groups_;
  BatchOptions options_;
  Index per_epoch_;
  std::vector<std::unique_ptr<ImageReader>> readers_;  // one a thread
  std::mutex order_mutex_;
  std::array<EpochOrder, slots> orders_;  // batches that are rendered at a time are of no more epochs
  std::array<std::array<std::vector<float>, most_groups>, slots> slot_inputs_;
  std::unique_ptr<Prefetcher> prefetcher_;  // the last member: its threads use the others
};

}  // namespace swav::resnet
