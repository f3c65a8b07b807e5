// What learns: network, prototypes, queue, momentum encoder, optimiser, and the way of a step's batches through them,
// or of a rank's share of these.
// In: images and settings. Out: a step's measurements; the whole state, by name, for checkpoints.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/image_source.hpp"
#include "model/network.hpp"
#include "swav/crops/multi_crop.hpp"
#include "swav/evaluate/statistics.hpp"
#include "swav/io/file_error.hpp"
#include "swav/loss/swapped_prediction.hpp"
#include "swav/prototypes/queue.hpp"
#include "train/accumulation.hpp"
#include "train/batches.hpp"
#include "train/image_targets.hpp"
#include "train/loss_device.hpp"
#include "train/momentum_encoder.hpp"
#include "train/optimizer.hpp"
#include "train/options.hpp"
#include "train/state_tensor.hpp"
#include "train/unbalanced_codes.hpp"

namespace swav::resnet {

struct StepMetrics {
  double loss = 0;
  double code_entropy = 0;    // mean nats a row
  Index prototypes_used = 0;  // distinct arg max of a batch's codes
  double feature_spread = 0;  // 1: the unit embeddings fill the sphere; 0: they are all the same
  double learning_rate = 0;
  double data_seconds = 0;  // until the batch was there
};

/// Images of a batch cannot be read, by this rank or by another: thrown by all.
class BatchFailure : public FileError {
 public:
  using FileError::FileError;
};

class Learner {
 public:
  /// `images` has to outlive the learner. Each of the `ranks` makes one of the same settings and images, and takes an
  /// equal share of every batch; the state is the same on all, and what one rank would have, up to rounding. Throws
  /// InvalidInput when the batch is larger than the data set or cannot be shared, the images do not suit the network,
  /// or this CPU cannot compute in the precision.
  Learner(const TrainOptions& options, const ImageSource& images, const Normalization& normalization,
          RankGroup ranks = {});

  /// One optimisation step on the next batch, or batches. Allocates nothing after the first, but once as the queue is
  /// first used. Collective, and the measurements are those of all ranks. Throws InvalidInput, which says what to
  /// change, when an embedding or a gradient is not finite any more, and what reading an image throws.
  StepMetrics step();

  [[nodiscard]] Index steps_done() const { return steps_done_; }
  [[nodiscard]] Index steps_per_epoch() const { return batches_.per_epoch() / options_.accumulate; }
  [[nodiscard]] Index total_steps() const { return total_steps_; }
  /// Plans the schedule to end after `steps`; at least one more than are done.
  void set_total_steps(Index steps);

  /// Parameters and running statistics under torchvision's names; "prototypes.weight", or of several heads, as in the
  /// release, "prototypes.prototypes0.weight" and so on; the momentum encoder's under "momentum_encoder.", the queue's
  /// rows as "queue.embeddings", the images' targets under "image_targets.", the optimiser's moments under
  /// "optimizer.".
  [[nodiscard]] std::vector<StateTensor> state();
  /// For whoever has written network or prototypes before the first step: the momentum encoder then starts as they are.
  void start_encoder() {
    if (encoder_) encoder_->start_as(*network_, bank_);
  }
  /// Embeddings ever written to the queue, a view; with state() and the steps, all there is of state.
  [[nodiscard]] Index queue_rows() const { return queue_ ? queue_->pushed() : 0; }
  /// Continues after `steps` of `total_steps`, the state having been written through state().
  void resume_at(Index steps, Index total_steps, Index queue_rows);

  [[nodiscard]] Network& network() { return *network_; }
  [[nodiscard]] const Bank& bank() const { return bank_; }
  [[nodiscard]] const MultiCropSampler& crops() const { return crops_; }
  [[nodiscard]] Precision precision() const { return precision_; }

 private:
  using Queue = EmbeddingQueue<float, LossDevice>;

  StepMetrics checked_step();
  void load(Index batch, std::span<float* const> inputs);
  void sum_gradients();
  [[nodiscard]] double spread_of(MatrixView<const float> z);
  StepMetrics learn_from_batch();
  StepMetrics learn_from_batches();
  void compute_common_codes();
  void begin_epoch_with_targets();
  void keep_for_targets(Index batch, MatrixView<const float> z);
  [[nodiscard]] std::span<const Index> images_of(Index batch);
  [[nodiscard]] StepMetrics metrics_of(MatrixView<const float> z);
  void follow_schedules();
  [[nodiscard]] double epsilon() const;
  [[nodiscard]] double learning_rate() const;
  [[nodiscard]] double scheduled(double first, double last) const;
  [[nodiscard]] Queue* queue();
  [[nodiscard]] VectorView<float> prototype_gradient();
  [[nodiscard]] std::vector<StateTensor> prototypes_state(const std::string& prefix, MatrixView<float> weights) const;

  TrainOptions options_;
  RankGroup ranks_;
  Index share_;  // images of a batch that are this rank's
  MultiCropSampler crops_;
  Batches batches_;
  Precision precision_;
  std::unique_ptr<Network> network_;
  std::vector<float*> inputs_;
  Bank bank_;
  SwappedPredictionLoss<float, LossDevice, RankGroup> loss_;
  SwappedPredictionStep<float, LossDevice> loss_step_;
  std::optional<Queue> queue_;
  std::optional<MomentumEncoder> encoder_;
  std::optional<Accumulation> accumulation_;
  std::optional<ImageTargets> targets_;
  std::optional<UnbalancedCodes> unbalanced_;
  std::vector<Index> order_;  // of the images, in the epoch that order_epoch_ says
  Index order_epoch_ = -1;
  ViewCodes<float, LossDevice> codes_;  // of all batches of a step
  MatrixView<const float> embeddings_;  // of the batch that went through a network last
  RowMatrix<float> first_view_;         // of a batch, all ranks' embeddings
  SpreadWorkspace<EigenDevice> spread_workspace_;
  std::unique_ptr<Optimizer> optimizer_;
  Index steps_done_ = 0;
  Index total_steps_ = 0;
};

/// How many threads render ahead: --workers, or what suits the images where it says to choose.
[[nodiscard]] int resolve_workers(const TrainOptions& options, const ImageSource& images);

/// The crops that the settings describe, large ones first.
[[nodiscard]] std::vector<CropSpec> crop_specs(const TrainOptions& options, const Normalization& normalization);

/// What --precision auto stands for on this CPU.
[[nodiscard]] Precision resolve_precision(const std::string& name);

/// The options with a precision that is not auto: a run that goes on elsewhere is to go on in the same one.
[[nodiscard]] TrainOptions with_precision_resolved(TrainOptions options);

}  // namespace swav::resnet
