// What a run would be, without one. In: settings. Out: a few lines: network, memory, steps, time.
#pragma once

#include "engine/rank_group.hpp"
#include "train/options.hpp"

namespace swav::resnet {

/// Builds everything a run of these settings needs, takes a few steps, prints what they say of the whole, and writes
/// nothing. Throws what the run would.
void dry_run(const TrainOptions& options, const RankGroup& ranks = {});

}  // namespace swav::resnet
