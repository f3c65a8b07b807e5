// Where a learner's batches come from, whatever it computes on. In: images, settings, the ranks that share batches.
// Out: crops of this rank's share, and which images a batch has. No header of the crops', for those that nvcc compiles.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/rank_group.hpp"
#include "model/architecture.hpp"
#include "swav/core/device.hpp"
#include "swav/io/file_error.hpp"
#include "train/options.hpp"

namespace swav {

template <class Device>
class BasicMultiCropSampler;
struct Normalization;

namespace resnet {

class ImageSource;

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
  [[nodiscard]] const BasicMultiCropSampler<EigenDevice>& crops() const;

  /// Fills inputs[g] with the crops of this rank's share of a batch; see Batches::load. Collective.
  void load(Index batch, std::span<float* const> inputs);
  /// The images of a batch, all ranks', as Batches draws them; replacements for what cannot be read aside.
  [[nodiscard]] std::span<const Index> images_of(Index batch);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace resnet
}  // namespace swav
