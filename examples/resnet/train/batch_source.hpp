// Where a learner's batches come from, whatever it computes on. In: images, settings, the ranks that share batches.
// Out: crops of this rank's share, or the images and keys of these, and which images a batch has. No header of the
// CPU's crops, for those that nvcc compiles.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/rank_group.hpp"
#include "model/architecture.hpp"
#include "swav/core/device.hpp"
#include "swav/crops/basic_multi_crop.hpp"
#include "swav/io/file_error.hpp"
#include "train/decoded_batches.hpp"
#include "train/options.hpp"

namespace swav::resnet {

/// Images of a batch cannot be read, by this rank or by another: thrown by all.
class BatchFailure : public FileError {
 public:
  using FileError::FileError;
};

class BatchSource {
 public:
  /// `images` has to outlive this. Throws InvalidInput when a batch is larger than the data set.
  BatchSource(const TrainOptions& options, const ImageSource& images, const Normalization& normalization,
              RankGroup ranks);
  ~BatchSource();

  /// Images of a batch that are this rank's.
  [[nodiscard]] Index share() const;
  /// The network's inputs for them.
  [[nodiscard]] const std::vector<ImageGroup>& groups() const;
  [[nodiscard]] Index views() const;
  /// Batches an epoch.
  [[nodiscard]] Index per_epoch() const;
  /// Of the data set.
  [[nodiscard]] Index images() const;
  [[nodiscard]] Index channels() const;
  /// All pixels of the data set, where they are in memory.
  [[nodiscard]] std::span<const std::uint8_t> storage() const;
  [[nodiscard]] const BasicMultiCropSampler<EigenDevice>& crops() const;
  /// What these are made of.
  [[nodiscard]] const std::vector<CropSpec>& specs() const;

  /// Fills inputs[g] with the crops of this rank's share of a batch; see Batches::load. Collective. Of --device cpu.
  void load(Index batch, std::span<float* const> inputs);
  /// The images of this rank's share, whose crops are rendered elsewhere; see DecodedBatches. Collective. Of another.
  [[nodiscard]] const DecodedBatch& decode(Index batch);
  void set_memory(HostAllocator allocate);
  /// The images of a batch, all ranks', as Batches draws them; replacements for what cannot be read aside.
  [[nodiscard]] std::span<const Index> images_of(Index batch);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace swav::resnet
