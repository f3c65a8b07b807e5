// The folder that a run writes into. In: its settings. Out: a folder that holds no other run.
#pragma once

#include <string>

#include "train/options.hpp"

namespace swav::resnet {

/// Throws InvalidInput where --output holds a run that is neither to be resumed nor replaced.
void require_no_other_run(const TrainOptions& options);

/// Makes --output, and takes an old run's checkpoint and report away unless the run is resumed. Throws FileError where
/// the folder cannot be made.
void prepare_folder(const TrainOptions& options);

/// What a shell is given to go on with the run. `program`: its name; `launcher`: what starts it by several ranks.
[[nodiscard]] std::string resume_command(const std::string& program, const TrainOptions& options,
                                         const std::string& launcher = {});

}  // namespace swav::resnet
