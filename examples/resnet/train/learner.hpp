// What learns: network, prototypes, optimiser, and the way of one batch through them. In: images and settings.
// Out: a step's measurements; the whole state, by name, for checkpoints.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/image_source.hpp"
#include "model/network.hpp"
#include "swav/backend/eigen/onednn_product.hpp"
#include "swav/crops/multi_crop.hpp"
#include "swav/evaluate/statistics.hpp"
#include "swav/loss/swapped_prediction.hpp"
#include "swav/prototypes/bank.hpp"
#include "train/batches.hpp"
#include "train/optimizer.hpp"
#include "train/options.hpp"

namespace swav::resnet {

/// The network needs oneDNN anyway: its products serve the loss as well.
using LossDevice = BasicEigenDevice<OneDnnProduct>;

struct StepMetrics {
  double loss = 0;
  double code_entropy = 0;    // mean nats a row
  Index prototypes_used = 0;  // distinct arg max of the codes
  double feature_spread = 0;  // 1: the unit embeddings fill the sphere; 0: they are all the same
  double learning_rate = 0;
  double data_seconds = 0;  // until the batch was there
};

/// One tensor of the state.
struct StateTensor {
  std::string name;
  std::vector<Index> shape;
  std::span<float> value;
};

class Learner {
 public:
  /// `images` has to outlive the learner. Throws InvalidInput when the batch is larger than the data set, the images do
  /// not suit the network, or this CPU cannot compute in the precision.
  Learner(const TrainOptions& options, const ImageSource& images, const Normalization& normalization);

  /// One optimisation step on the next batch. Allocates nothing after the first. Throws InvalidInput, which says what
  /// to change, when an embedding or a gradient is not finite any more.
  StepMetrics step();

  [[nodiscard]] Index steps_done() const { return steps_done_; }
  [[nodiscard]] Index steps_per_epoch() const { return batches_.per_epoch(); }
  [[nodiscard]] Index total_steps() const { return total_steps_; }
  /// Plans the schedule to end after `steps`; at least one more than are done.
  void set_total_steps(Index steps);

  /// Parameters and running statistics under torchvision's names, "prototypes.weight", and the optimiser's moments
  /// under "optimizer.".
  [[nodiscard]] std::vector<StateTensor> state();
  /// Continues after `steps` of `total_steps`, the state having been written through state().
  void resume_at(Index steps, Index total_steps);

  [[nodiscard]] Network& network() { return *network_; }
  [[nodiscard]] const PrototypeBank<float, LossDevice>& bank() const { return bank_; }
  [[nodiscard]] const MultiCropSampler& crops() const { return crops_; }
  [[nodiscard]] Precision precision() const { return precision_; }

 private:
  StepMetrics checked_step();

  TrainOptions options_;
  MultiCropSampler crops_;
  Batches batches_;
  Precision precision_;
  std::unique_ptr<Network> network_;
  std::vector<float*> inputs_;
  PrototypeBank<float, LossDevice> bank_;
  SwappedPredictionLoss<float, LossDevice> loss_;
  SwappedPredictionStep<float, LossDevice> loss_step_;
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
