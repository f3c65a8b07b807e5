// The error that reading and writing files raises. In: a path and what is wrong. Out: a typed exception naming both.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace swav {

/// Thrown when a file cannot be read or written, or does not hold what it should: missing, truncated, oversized,
/// malformed, of another kind, or without the wanted content. The message starts with the path.
class FileError : public std::runtime_error {
 public:
  FileError(std::string path, const std::string& problem)
      : std::runtime_error(path + ": " + problem), path_(std::move(path)) {}

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace swav
