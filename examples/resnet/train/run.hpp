// A whole run. In: settings. Out: a folder with checkpoint, metrics and report, and lines that tell of it.
#pragma once

#include <string>

#include "engine/rank_group.hpp"
#include "train/options.hpp"

namespace swav::resnet {

/// Trains, evaluates, writes options.output/{checkpoint.safetensors, metrics.jsonl, report.html}. `program` is what the
/// command that continues a stopped run begins with. Returns the process's exit status: 0, or 128 + the signal that
/// ended the run early (its checkpoint is written then). Each of the `ranks` calls it with the same settings; rank 0
/// alone evaluates and writes, and a signal to any ends all after the same step. Throws InvalidInput or
/// FileError.
int run_training(const TrainOptions& options, const std::string& program = "swav-train", const RankGroup& ranks = {});

}  // namespace swav::resnet
