// swav-eval: what a checkpoint's features are worth. In: the command line. Out: the protocol and the result on the
// standard output; on any error one line on the standard error and a status that is not zero.
#include <cstdio>
#include <exception>
#include <new>

#include "eval/command_line.hpp"
#include "train/safe_text.hpp"

int main(int count, char** arguments) {
  try {
    const swav::resnet::EvalCommandLine line = swav::resnet::parse_eval_command_line(count, arguments);
    if (!line.help.empty()) {
      std::fputs(line.help.c_str(), stdout);
      return 0;
    }
    line.run();
    return 0;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "swav-eval: error: out of memory; lower --size or --batch-size\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "swav-eval: error: %s\n", swav::resnet::printable(error.what()).c_str());
  }
  return 1;
}
