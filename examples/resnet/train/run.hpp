// A whole run. In: settings. Out: a folder with checkpoint, metrics and report, and lines that tell of it.
#pragma once

#include "train/options.hpp"

namespace swav::resnet {

/// Trains, evaluates, writes options.output/{checkpoint.safetensors, metrics.jsonl, report.html}. Returns the process's
/// exit status: 0, or 128 + the signal that ended the run early (its checkpoint is written then). Throws InvalidInput
/// or FileError.
int run_training(const TrainOptions& options);

}  // namespace swav::resnet
