// A file of known length, gzip-compressed or plain. In: a path. Out: its bytes, or a FileError that names it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

struct gzFile_s;

namespace swav::resnet {

class InputFile {
 public:
  /// Throws FileError when there is no such file or it cannot be opened.
  explicit InputFile(const std::filesystem::path& path);

  /// The next `count` bytes, appended to `bytes`; throws FileError when the file ends before. Memory is taken as bytes
  /// arrive, so that a false count in a header cannot exhaust it.
  void append(std::size_t count, std::vector<std::uint8_t>& bytes);

  [[nodiscard]] std::vector<std::uint8_t> read(std::size_t count);

  /// Throws FileError unless everything has been read.
  void expect_end();

  [[noreturn]] void fail(const std::string& reason) const;

 private:
  struct Close {
    void operator()(gzFile_s* file) const;
  };
  std::filesystem::path path_;
  std::unique_ptr<gzFile_s, Close> file_;
  std::size_t position_ = 0;
};

}  // namespace swav::resnet
