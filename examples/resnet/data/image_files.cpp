// A file is opened for each image: that costs little beside decoding, and needs no limit of open files.
#include "data/image_files.hpp"

#include <fcntl.h>

#include <span>
#include <utility>

#include "data/buffers.hpp"
#include "swav/core/error.hpp"
#include "swav/io/file_descriptor.hpp"
#include "swav/io/file_error.hpp"

namespace swav::resnet {
namespace {

constexpr std::uint64_t largest_file = std::uint64_t{1} << 30;

}  // namespace

void StoredFiles::add(std::string path) { entries_.push_back({.name = std::move(path)}); }

void StoredFiles::add_shard(std::string path) { shards_.push_back(std::move(path)); }

void StoredFiles::add_member(std::string member, std::uint64_t offset, std::uint64_t size) {
  entries_.push_back({std::move(member), static_cast<std::uint32_t>(shards_.size() - 1), offset, size});
}

std::string StoredFiles::name(Index i) const {
  const Entry& entry = entries_[static_cast<std::size_t>(i)];
  return entry.shard == no_shard ? entry.name : shards_[entry.shard] + ": " + entry.name;
}

void StoredFiles::read(Index i, std::vector<std::uint8_t>& bytes) const {
  const Entry& entry = entries_[static_cast<std::size_t>(i)];
  const bool is_loose = entry.shard == no_shard;
  const std::string& path = is_loose ? entry.name : shards_[entry.shard];
  try {
    detail::FileDescriptor file(path, O_RDONLY);
    const std::uint64_t length = file.length();
    const std::uint64_t size = is_loose ? length : entry.size;
    if (size > largest_file)
      throw FileError(path, detail::concatenate(size, " bytes found, ", largest_file, " or fewer wanted"));
    release_excess(bytes, static_cast<std::size_t>(size));
    bytes.resize(static_cast<std::size_t>(size));
    if (!is_loose) file.seek(entry.offset);
    file.read(std::as_writable_bytes(std::span(bytes)));
  } catch (const FileError& error) {
    if (is_loose) throw;
    throw FileError(name(i), std::string(error.what()).substr(path.size() + 2));  // the member, not its shard
  }
}

}  // namespace swav::resnet
