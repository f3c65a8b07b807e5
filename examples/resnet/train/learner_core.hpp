// The part of a Learner that computes, whatever it computes on. In: what it is asked for. Out: an interface, and who
// makes it.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "model/network.hpp"
#include "train/batch_source.hpp"
#include "train/options.hpp"
#include "train/state_tensor.hpp"
#include "train/step_metrics.hpp"

namespace swav::resnet {

/// What a learner is to be; `source` outlives it.
struct LearnerPlan {
  const TrainOptions& options;
  BatchSource& source;
  Architecture architecture;
  Precision precision;
  RankGroup ranks;
};

/// See Learner for what each does.
class LearnerCore {
 public:
  virtual ~LearnerCore() = default;
  virtual StepMetrics step() = 0;
  [[nodiscard]] virtual std::vector<StateTensor> state() = 0;
  virtual void download() = 0;
  virtual void start_encoder() = 0;
  [[nodiscard]] virtual Index queue_rows() const = 0;
  virtual void resume_at(Index steps, Index total_steps, Index queue_rows) = 0;
  [[nodiscard]] virtual Network& network() = 0;
  [[nodiscard]] virtual MatrixView<const float> prototypes() = 0;
  [[nodiscard]] virtual std::size_t gpu_bytes() const = 0;

  [[nodiscard]] Index steps_done() const { return steps_done_; }
  [[nodiscard]] Index total_steps() const { return total_steps_; }
  void set_total_steps(Index steps) { total_steps_ = steps; }

 protected:
  Index steps_done_ = 0;
  Index total_steps_ = 0;
};

/// One for each processor; that of CUDA throws InvalidInput in a build without.
[[nodiscard]] std::unique_ptr<LearnerCore> make_cpu_learner(const LearnerPlan& plan);
[[nodiscard]] std::unique_ptr<LearnerCore> make_cuda_learner(const LearnerPlan& plan);

}  // namespace swav::resnet
