// What learns: network, prototypes, queue, momentum encoder, optimiser, and the way of a step's batches through them,
// or of a rank's share of these.
// In: images and settings. Out: a step's measurements; the whole state, by name, for checkpoints.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/image_source.hpp"
#include "model/network.hpp"
#include "swav/crops/multi_crop.hpp"
#include "train/batch_source.hpp"
#include "train/options.hpp"
#include "train/state_tensor.hpp"
#include "train/step_metrics.hpp"

namespace swav::resnet {

class LearnerCore;

class Learner {
 public:
  /// `images` has to outlive the learner. Each of the `ranks` makes one of the same settings and images, and takes an
  /// equal share of every batch; the state is the same on all, and what one rank would have, up to rounding. Throws
  /// InvalidInput when the batch is larger than the data set or cannot be shared, the images do not suit the network,
  /// this CPU cannot compute in the precision, or a GPU is asked for that this build cannot use, or not with these
  /// settings; CudaError where there is no GPU, or too little memory on it.
  Learner(const TrainOptions& options, const ImageSource& images, const Normalization& normalization,
          RankGroup ranks = {});
  ~Learner();

  /// One optimisation step on the next batch, or batches. Allocates nothing after the first, but once as the queue is
  /// first used. Collective, and the measurements are those of all ranks. Throws InvalidInput, which says what to
  /// change, when an embedding or a gradient is not finite any more (a gradient on a GPU: at the next step), and what
  /// reading an image throws.
  StepMetrics step();

  [[nodiscard]] Index steps_done() const;
  [[nodiscard]] Index steps_per_epoch() const { return source_.per_epoch() / accumulate_; }
  [[nodiscard]] Index total_steps() const;
  /// Plans the schedule to end after `steps`; at least one more than are done.
  void set_total_steps(Index steps);

  /// Parameters and running statistics under torchvision's names; "prototypes.weight", or of several heads, as in the
  /// release, "prototypes.prototypes0.weight" and so on; the momentum encoder's under "momentum_encoder.", the queue's
  /// rows as "queue.embeddings", the images' targets under "image_targets.", the optimiser's moments under
  /// "optimizer.". In the host's memory: for a GPU these are copies, as are network().tensors(), which download()
  /// refreshes, and which start_encoder() and resume_at() bring to the GPU.
  [[nodiscard]] std::vector<StateTensor> state();
  void download();
  /// For whoever has written network or prototypes before the first step: the momentum encoder then starts as they are.
  void start_encoder();
  /// Embeddings ever written to the queue, a view; with state() and the steps, all there is of state.
  [[nodiscard]] Index queue_rows() const;
  /// Continues after `steps` of `total_steps`, the state having been written through state().
  void resume_at(Index steps, Index total_steps, Index queue_rows);

  [[nodiscard]] Network& network();
  /// Of the GPU's memory, all that is in use; 0 on the CPU.
  [[nodiscard]] std::size_t gpu_bytes() const;
  /// Those of the first head, in the host's memory.
  [[nodiscard]] MatrixView<const float> prototypes();
  [[nodiscard]] const MultiCropSampler& crops() const { return source_.crops(); }
  [[nodiscard]] Precision precision() const { return precision_; }

 private:
  Precision precision_;
  Index accumulate_;
  BatchSource source_;
  std::unique_ptr<LearnerCore> core_;
};

/// How many threads render ahead: --workers, or what suits the images where it says to choose.
[[nodiscard]] int resolve_workers(const TrainOptions& options, const ImageSource& images);

/// The crops that the settings describe, large ones first.
[[nodiscard]] std::vector<CropSpec> crop_specs(const TrainOptions& options, const Normalization& normalization);

/// What a --precision stands for on a --device: auto is bfloat16 on a GPU.
[[nodiscard]] Precision resolve_precision(const std::string& precision, const std::string& device = "cpu");

/// The options with a precision that is not auto: a run that goes on elsewhere is to go on in the same one.
[[nodiscard]] TrainOptions with_precision_resolved(TrainOptions options);

}  // namespace swav::resnet
