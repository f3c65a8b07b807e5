// Signs that a run is collapsing. In: each step's measurements. Out: warnings that say what to change.
#pragma once

#include <string>
#include <vector>

#include "train/metrics.hpp"
#include "train/options.hpp"

namespace swav::resnet {

/// Watches means over the latest steps; looks once in the middle of the first epoch, then at epochs' ends. Each look is
/// at a window of steps that none before has seen, and at none with frozen prototypes or just after.
class CollapseMonitor {
 public:
  CollapseMonitor(const TrainOptions& options, Index steps_per_epoch);

  /// Warnings due after this step; none on most.
  [[nodiscard]] std::vector<std::string> add(const StepRecord& record);

 private:
  static constexpr std::size_t window = 50;

  TrainOptions options_;
  Index steps_per_epoch_;
  std::vector<StepRecord> recent_;
  std::size_t next_ = 0;
  std::size_t unseen_ = 0;  // steps since the last look
};

/// What is doubtful about the settings before the first step.
[[nodiscard]] std::vector<std::string> doubtful_settings(const TrainOptions& options);

}  // namespace swav::resnet
