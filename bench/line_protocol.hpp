// How a timed program talks to bench/run_cpu.py. In: lines "case repeats" on standard input. Out: a line
// "case seconds" for each, the least of the repeats, and a count where the case returns one. The first time of a case
// warms up first, unless it is to run once.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace swav::bench {

/// What is timed: a function that returns nothing, or something that is worth a count beside the seconds.
class Work {
 public:
  Work() = default;
  template <std::invocable Function>
  Work(Function function)
      : function_([f = std::move(function)]() -> std::optional<double> {
          if constexpr (std::is_void_v<std::invoke_result_t<const Function&>>) {
            f();
            return std::nullopt;
          } else {
            return static_cast<double>(f());
          }
        }) {}

  std::optional<double> operator()() const { return function_(); }

 private:
  std::function<std::optional<double>()> function_;
};

/// Makes a case's data and returns what is timed.
using Case = std::function<Work()>;

/// Serves requests until standard input ends. One case's data is held at a time. Returns main's status.
inline int serve(const std::map<std::string, Case>& cases) {
  std::string name, prepared;
  int repeats = 0;
  Work work;
  while (std::cin >> name >> repeats) {
    const auto found = cases.find(name);
    if (found == cases.end()) {
      std::cerr << "unknown case " << name << ", known are:\n";
      for (const auto& known : cases) std::cerr << "  " << known.first << "\n";
      return 1;
    }
    if (name != prepared) {
      work = {};
      work = found->second();
      prepared = name;
      if (repeats > 1) work();
    }
    double least = std::numeric_limits<double>::infinity();
    std::optional<double> count;
    for (int i = 0; i < repeats; ++i) {
      const auto start = std::chrono::steady_clock::now();
      count = work();
      least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::cout << name << " " << least;
    if (count) std::cout << " " << *count;
    std::cout << std::endl;
  }
  return 0;
}

}  // namespace swav::bench
