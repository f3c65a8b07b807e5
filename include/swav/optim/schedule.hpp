// The learning rate's course. In: its corners and a step. Out: the rate at that step.
#pragma once

#include <cmath>
#include <initializer_list>
#include <numbers>

#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav {

/// A linear rise from `start` to `base` over warmup_steps, then half a cosine from `base` towards `final` over the
/// other total_steps - warmup_steps.
struct WarmupCosine {
  double start = 0;
  double base = 0;
  double final = 0;
  Index warmup_steps = 0;
  Index total_steps = 0;
};

/// The rate at `step`, 0 <= step < total_steps, as the SwAV release lists it: the first warm-up step has `start` and
/// the last one `base`; the cosine's t-th step of n has final + (base - final) (1 + cos(pi t / n)) / 2, so `final`
/// itself would be the step after the last. Throws InvalidInput on a step outside, on rates that are negative or not
/// finite, and on more warm-up steps than steps.
[[nodiscard]] inline double warmup_cosine(const WarmupCosine& schedule, Index step) {
  for (const double rate : {schedule.start, schedule.base, schedule.final})
    detail::require(std::isfinite(rate) && rate >= 0, "schedule: the rate ", rate,
                    " found, a finite number that is 0 or more wanted");
  detail::require(schedule.warmup_steps >= 0 && schedule.warmup_steps <= schedule.total_steps,
                  "schedule: warmup_steps ", schedule.warmup_steps, " found, 0 to total_steps (", schedule.total_steps,
                  ") wanted");
  detail::require(step >= 0 && step < schedule.total_steps, "step: ", step, " found, 0 or more and below total_steps (",
                  schedule.total_steps, ") wanted");
  if (step < schedule.warmup_steps) {
    if (schedule.warmup_steps == 1) return schedule.start;
    const double part = static_cast<double>(step) / static_cast<double>(schedule.warmup_steps - 1);
    return schedule.start + (schedule.base - schedule.start) * part;
  }
  const double part = static_cast<double>(step - schedule.warmup_steps) /
                      static_cast<double>(schedule.total_steps - schedule.warmup_steps);
  return schedule.final + 0.5 * (schedule.base - schedule.final) * (1 + std::cos(std::numbers::pi * part));
}

}  // namespace swav
