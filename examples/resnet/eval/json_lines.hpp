// Results as JSON lines. In: a value. Out: a line at the end of a file; digits for people.
#pragma once

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "swav/io/file_error.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {

/// Throws FileError where the system refuses.
inline void append_json_line(const std::string& path, const nlohmann::json& value) {
  const std::string line = json_text(value) + "\n";
  std::FILE* const file = std::fopen(path.c_str(), "ab");
  const bool written = file != nullptr && std::fwrite(line.data(), 1, line.size(), file) == line.size();
  const bool closed = file != nullptr && std::fclose(file) == 0;
  if (!written || !closed)
    throw FileError(path, "cannot be appended to (" + std::generic_category().message(errno) + ")");
}

[[nodiscard]] inline std::string four_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

}  // namespace swav::resnet
