// What a run shows while it trains. In: steps. Out: a bar on a terminal, a plain line now and then elsewhere.
#pragma once

#include <chrono>
#include <string>

#include "train/metrics.hpp"

namespace swav::resnet {

class Progress {
 public:
  /// `images_per_step` and `total_steps` give the rate and the time left.
  Progress(Index total_steps, Index steps_per_epoch);
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void set_total_steps(Index steps) { total_steps_ = steps; }

  /// Shows the step if it is time to. `seconds_per_step` is a recent mean.
  void step(const StepRecord& record, double seconds_per_step);
  /// Prints a line of its own, made printable, above the bar.
  void message(const std::string& text);
  /// Leaves the bar as it is and goes on below it.
  void finish();

 private:
  void clear();

  using Clock = std::chrono::steady_clock;
  Index total_steps_;
  Index steps_per_epoch_;
  bool terminal_;
  bool bar_shown_ = false;
  double smooth_loss_ = 0;
  double smooth_share_ = 0;
  double smooth_seconds_ = 0, smooth_data_seconds_ = 0;
  bool any_step_ = false;
  Clock::time_point next_{};
};

/// "45 s", "3 min 20 s", "2 h 5 min".
[[nodiscard]] std::string duration_text(double seconds);

/// A share of 1 as "12.34 %".
[[nodiscard]] std::string percent_text(double share);

}  // namespace swav::resnet
