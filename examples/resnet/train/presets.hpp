// Named sets of settings. In: a name. Out: the settings, each of which the command line may override.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "train/options.hpp"

namespace swav::resnet {

struct Preset {
  const char* name;
  const char* summary;
};

/// The rows of the SwAV release's tables, among presets(); nothing for another name.
[[nodiscard]] std::vector<Preset> release_presets();
[[nodiscard]] std::optional<TrainOptions> release_preset_options(const std::string& name);

/// In the order --help lists them; the first is the default.
[[nodiscard]] const std::vector<Preset>& presets();

/// Throws InvalidInput, which lists the names, for an unknown one.
[[nodiscard]] TrainOptions preset_options(const std::string& name);

}  // namespace swav::resnet
