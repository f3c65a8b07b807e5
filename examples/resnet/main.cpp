// swav-train: SwAV on real images from one command. In: the command line. Out: a folder with checkpoint, metrics and
// report; on any error one line on the standard error and a status that is not zero.
#include <omp.h>

#include <cstdio>

#include "train/command_line.hpp"
#include "train/dry_run.hpp"
#include "train/launch.hpp"
#include "train/run.hpp"

int main(int count, char** arguments) {
  return swav::resnet::launch([&](swav::resnet::Processes& processes) {
    const swav::resnet::CommandLine command_line = swav::resnet::parse_command_line(count, arguments);
    const swav::resnet::RankGroup ranks = processes.ranks();
    if (!command_line.help.empty()) {
      std::fputs(command_line.help.c_str(), stdout);
      return 0;
    }
    if (processes.threads() > 0) omp_set_num_threads(processes.threads());
    if (command_line.options.threads == 0 && !processes.doubt().empty())
      std::printf("warning: %s\n", processes.doubt().c_str());
    if (command_line.options.dry_run) {
      swav::resnet::dry_run(command_line.options, ranks);
      return 0;
    }
    return swav::resnet::run_training(command_line.options, arguments[0], ranks);
  });
}
