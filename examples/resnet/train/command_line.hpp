// The command line. In: arguments, and the checkpoint of the run to resume. Out: the settings of the run.
#pragma once

#include <optional>
#include <string>

#include "train/options.hpp"

namespace swav::resnet {

struct CommandLine {
  TrainOptions options;
  std::string help = {};  // not empty: print it and do nothing else
};

/// Settings come from the preset, or from the run to resume (all but --max-steps and --no-evaluate, which end a run
/// early), and what the arguments name is set over them. Throws InvalidInput for arguments that are unknown, malformed,
/// out of range or contradict the run that is resumed, and when there is no run to resume and no preset to start one
/// with; FileError for a checkpoint that cannot be read.
[[nodiscard]] CommandLine parse_command_line(int count, const char* const* arguments);

}  // namespace swav::resnet
