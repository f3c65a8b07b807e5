// The command line of swav-eval. In: arguments. Out: the evaluation that they ask for.
#pragma once

#include <functional>
#include <string>

namespace swav::resnet {

struct EvalCommandLine {
  std::function<void()> run = {};
  std::string help = {};  ///< not empty: print it and do nothing else
};

/// Throws InvalidInput for arguments that are unknown or malformed; what is out of range is found when it is run.
[[nodiscard]] EvalCommandLine parse_eval_command_line(int count, const char* const* arguments);

}  // namespace swav::resnet
