// What a run says of itself before its first step. In: settings, data, what learns. Out: a few lines.
#pragma once

#include <string>

#include "data/dataset.hpp"
#include "train/learner.hpp"
#include "train/options.hpp"

namespace swav::resnet {

/// `no_accuracies`: why there will be none, or "".
[[nodiscard]] std::string introduction(const TrainOptions& options, const Dataset& data, Learner& learner,
                                       const std::string& no_accuracies, Index last_step, int ranks);

}  // namespace swav::resnet
