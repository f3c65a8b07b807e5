// An open file by its POSIX descriptor. In: a path. Out: complete reads and writes, or a FileError.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "swav/io/file_error.hpp"

namespace swav::detail {

/// Owns the descriptor. Every failure throws FileError with the path and the system's reason. Opening a pipe or a device
/// does not wait for its other end.
class FileDescriptor {
 public:
  FileDescriptor(std::string path, int flags) : path_(std::move(path)) {
    do {
      descriptor_ = ::open(path_.c_str(), flags | O_CLOEXEC | O_NONBLOCK, 0666);
    } while (descriptor_ < 0 && errno == EINTR);
    if (descriptor_ < 0) fail("cannot be opened");
  }
  ~FileDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  /// The length in bytes of a regular file; anything else is refused.
  [[nodiscard]] std::uint64_t length() const {
    struct stat status;
    if (::fstat(descriptor_, &status) != 0) fail("cannot be examined");
    if (!S_ISREG(status.st_mode)) throw FileError(path_, "not a regular file");
    return static_cast<std::uint64_t>(status.st_size);
  }

  /// Where the next read begins, in bytes from the start.
  void seek(std::uint64_t position) const {
    if (::lseek(descriptor_, static_cast<off_t>(position), SEEK_SET) < 0) fail("cannot be read from a given place");
  }

  /// Fills `bytes` from the current position; a file that ends earlier is an error.
  void read(std::span<std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::read(descriptor_, bytes.data(), std::min(bytes.size(), most_at_once));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail("cannot be read");
      if (count == 0) throw FileError(path_, "ends early");
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::write(descriptor_, bytes.data(), std::min(bytes.size(), most_at_once));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail("cannot be written");
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }

  /// Returns when the content is on the medium. Some file systems have no flush for directories (EINVAL).
  void sync() {
    if (::fsync(descriptor_) != 0 && errno != EINVAL) fail("cannot be flushed to the medium");
  }

  /// Closes now, so that a failure can be reported.
  void close() {
    if (::close(std::exchange(descriptor_, -1)) != 0) fail("cannot be closed");
  }

 private:
  static constexpr std::size_t most_at_once = std::size_t{1} << 30;

  [[noreturn]] void fail(const std::string& problem) const {
    throw FileError(path_, problem + " (" + std::generic_category().message(errno) + ")");
  }

  std::string path_;
  int descriptor_ = -1;
};

}  // namespace swav::detail
