// swav-train: SwAV on real images from one command. In: the command line. Out: a folder with checkpoint, metrics and
// report; on any error one line on the standard error and a status that is not zero.
#include <cstdio>
#include <exception>
#include <new>

#include "train/command_line.hpp"
#include "train/dry_run.hpp"
#include "train/run.hpp"
#include "train/safe_text.hpp"

int main(int count, char** arguments) {
  try {
    const swav::resnet::CommandLine command_line = swav::resnet::parse_command_line(count, arguments);
    if (!command_line.help.empty()) {
      std::fputs(command_line.help.c_str(), stdout);
      return 0;
    }
    if (command_line.options.dry_run) {
      swav::resnet::dry_run(command_line.options);
      return 0;
    }
    return swav::resnet::run_training(command_line.options, arguments[0]);
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr,
                 "swav-train: error: out of memory; lower --batch-size, --width, --large-size, --small-size, "
                 "--prototypes, --embedding or --hidden\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "swav-train: error: %s\n", swav::resnet::printable(error.what()).c_str());
  }
  return 1;
}
