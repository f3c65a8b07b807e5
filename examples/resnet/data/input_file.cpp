// InputFile on zlib, which reads plain files as they are. In: a path. Out: bytes.
#include "data/input_file.hpp"

#include <zlib.h>

#include <algorithm>

#include "swav/io/file_error.hpp"

namespace swav::resnet {

void InputFile::Close::operator()(gzFile_s* file) const { gzclose_r(file); }

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) fail("no such file");
  if (!std::filesystem::is_regular_file(path, error)) fail("not a regular file");
  file_.reset(gzopen(path.c_str(), "rb"));
  if (!file_) fail("cannot be opened for reading");
  gzbuffer(file_.get(), 1u << 18);
}

void InputFile::fail(const std::string& reason) const { throw FileError(path_.string(), reason); }

void InputFile::append(std::size_t count, std::vector<std::uint8_t>& bytes) {
  constexpr std::size_t chunk = std::size_t{1} << 20;
  while (count > 0) {
    const std::size_t wanted = std::min(count, chunk);
    const std::size_t first = bytes.size();
    bytes.resize(first + wanted);
    const int got = gzread(file_.get(), bytes.data() + first, static_cast<unsigned>(wanted));
    int code = Z_OK;
    const char* message = gzerror(file_.get(), &code);
    if (got < 0 || (code != Z_OK && code != Z_BUF_ERROR)) fail(std::string("damaged: ") + message);
    position_ += static_cast<std::size_t>(got);
    if (static_cast<std::size_t>(got) < wanted)
      fail("truncated: it ends after " + std::to_string(position_) + " bytes, " +
           std::to_string(position_ + count - static_cast<std::size_t>(got)) + " or more wanted");
    count -= wanted;
  }
}

std::vector<std::uint8_t> InputFile::read(std::size_t count) {
  std::vector<std::uint8_t> bytes;
  append(count, bytes);
  return bytes;
}

void InputFile::expect_end() {
  std::uint8_t next = 0;
  const int got = gzread(file_.get(), &next, 1);
  if (got > 0) fail("oversized: it goes on after the " + std::to_string(position_) + " bytes wanted");
  int code = Z_OK;
  const char* message = gzerror(file_.get(), &code);
  if (got < 0 || code == Z_BUF_ERROR) fail(std::string("damaged: ") + message);
}

}  // namespace swav::resnet
