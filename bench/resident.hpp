// The memory of this process, as Linux counts it. In: a line of /proc/self/status. Out: MB.
#pragma once

#include <fstream>
#include <string>

namespace swav::bench {

/// "VmRSS:" now, "VmHWM:" at most so far; 0 where there is no such line.
inline double resident(const char* name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (double kilobytes = 0; word == name && status >> kilobytes) return kilobytes / 1024;
  return 0;
}

}  // namespace swav::bench
