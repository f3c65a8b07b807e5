// The batches of a run. In: images, how to crop them, a seed. Out: crops in the network's inputs, the same for the same
// step whoever renders them and whatever was loaded before.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "data/prefetcher.hpp"
#include "model/architecture.hpp"
#include "swav/crops/multi_crop.hpp"
#include "train/batch_images.hpp"

namespace swav::resnet {

class Batches {
 public:
  /// `groups` are the network's inputs, to which the sampler's views belong in turn. `images` and `crops` have to
  /// outlive this. Throws InvalidInput when there are fewer images than a batch has.
  Batches(const ImageSource& images, const MultiCropSampler& crops, std::vector<ImageGroup> groups,
          const BatchOptions& options);

  [[nodiscard]] Index per_epoch() const { return images_.per_epoch(); }

  /// Fills inputs[g] with the crops of batch `step` (from 0) for group g: view v of image first + b is row v count + b,
  /// where v counts the group's views; see BatchImages for the images. Steps asked for in turn are rendered ahead; any
  /// other starts anew. Throws what reading an image throws.
  void load(Index step, std::span<float* const> inputs);

 private:
  static constexpr std::size_t most_groups = 2;
  static constexpr std::size_t slots = 2;  // one that waits, one that is being rendered
  using GroupInputs = std::array<float*, most_groups>;

  void render(Index step, Index b, std::size_t reader, const GroupInputs& inputs);
  void start_workers(Index step);

  BatchImages images_;
  const MultiCropSampler& crops_;
  std::vector<ImageGroup> groups_;
  std::array<std::array<std::vector<float>, most_groups>, slots> slot_inputs_;
  std::unique_ptr<Prefetcher> prefetcher_;  // the last member: its threads use the others
};

}  // namespace swav::resnet
