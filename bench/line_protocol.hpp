// How a timed program talks to bench/run_cpu.py. In: lines "case repeats" on standard input. Out: a line
// "case seconds" for each, the least of the repeats; the first time of a case warms up first.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <string>

namespace swav::bench {

/// Makes a case's data and returns what is timed.
using Case = std::function<std::function<void()>()>;

inline double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Serves requests until standard input ends. One case's data is held at a time. Returns main's status.
inline int serve(const std::map<std::string, Case>& cases) {
  std::string name, prepared;
  int repeats = 0;
  std::function<void()> work;
  while (std::cin >> name >> repeats) {
    const auto found = cases.find(name);
    if (found == cases.end()) {
      std::cerr << "unknown case " << name << ", known are:\n";
      for (const auto& known : cases) std::cerr << "  " << known.first << "\n";
      return 1;
    }
    if (name != prepared) {
      work = nullptr;
      work = found->second();
      prepared = name;
      work();
    }
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < repeats; ++i) least = std::min(least, seconds_of(work));
    std::cout << name << " " << least << std::endl;
  }
  return 0;
}

}  // namespace swav::bench
