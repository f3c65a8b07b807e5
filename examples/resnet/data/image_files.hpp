// Files that hold an image each, by number: loose ones and members of tar shards alike. In: a number. Out: the bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "swav/core/matrix_view.hpp"

namespace swav::resnet {

class ImageFiles {
 public:
  virtual ~ImageFiles() = default;

  [[nodiscard]] virtual Index count() const = 0;
  /// For messages.
  [[nodiscard]] virtual std::string name(Index i) const = 0;
  /// Replaces `bytes`, whose memory is used again, by those of file `i`. Throws FileError when it cannot be read. Any
  /// number of threads may read at once.
  virtual void read(Index i, std::vector<std::uint8_t>& bytes) const = 0;
};

/// Whole files on disk, and ranges of files.
class StoredFiles final : public ImageFiles {
 public:
  /// A whole file.
  void add(std::string path);
  /// `size` bytes from `offset` on of the file added as shard last, where they are called `member`.
  void add_member(std::string member, std::uint64_t offset, std::uint64_t size);
  void add_shard(std::string path);
  /// What file `i` is called in its shard; its path if it is a loose one.
  [[nodiscard]] const std::string& member(Index i) const { return entries_[static_cast<std::size_t>(i)].name; }

  [[nodiscard]] Index count() const override { return static_cast<Index>(entries_.size()); }
  [[nodiscard]] std::string name(Index i) const override;
  void read(Index i, std::vector<std::uint8_t>& bytes) const override;

 private:
  static constexpr std::uint32_t no_shard = ~std::uint32_t{0};
  struct Entry {
    std::string name;
    std::uint32_t shard = no_shard;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };
  std::vector<std::string> shards_;
  std::vector<Entry> entries_;
};

}  // namespace swav::resnet
