// Images decoded from files when they are asked for, and kept as far as memory is allowed. In: files. Out: RGB pixels.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/image_decoder.hpp"
#include "data/image_files.hpp"
#include "data/image_source.hpp"

namespace swav::resnet {

struct DiskOptions {
  std::size_t cache_bytes = 0;  ///< for decoded pixels
  double max_bad_share = 0.01;  ///< of the images; reading throws once more cannot be read
};

/// A file that cannot be read or decoded is noted when it is first met and not opened again. Decoded pixels are kept
/// until `cache_bytes` are used up, and then as they are: each epoch asks for every image once, so that none is worth
/// more than another.
class DecodedImages final : public ImageSource {
 public:
  /// `name` is what messages call them: their folder. `classes` become the labels: one a file, or none.
  DecodedImages(std::string name, std::unique_ptr<const ImageFiles> files, std::vector<int> classes,
                const DiskOptions& options);
  ~DecodedImages() override;

  [[nodiscard]] Index count() const override { return files_->count(); }
  [[nodiscard]] Index channels() const override { return 3; }
  [[nodiscard]] Index side() const override { return 0; }
  [[nodiscard]] std::string describe() const override;
  [[nodiscard]] std::unique_ptr<ImageReader> reader() const override;
  [[nodiscard]] std::uint64_t names_hash() const override;
  [[nodiscard]] std::vector<std::string> take_problems() const override;

  /// Bytes of pixels that are kept now.
  [[nodiscard]] std::size_t cached_bytes() const { return cached_bytes_; }

 private:
  class Reader;
  /// What is known of an image: null nothing, &unreadable_, &whole_ that its file can be decoded, or its pixels.
  using Slot = std::atomic<const DecodedImage*>;

  void keep(Index i, const DecodedImage& image) const;
  void note_unreadable(Index i, const std::string& problem) const;

  std::string name_;
  std::unique_ptr<const ImageFiles> files_;
  DiskOptions options_;
  const DecodedImage unreadable_, whole_;
  std::unique_ptr<Slot[]> slots_;
  mutable std::atomic<std::size_t> cached_bytes_ = 0;
  mutable std::mutex problems_mutex_;
  mutable std::vector<std::string> problems_;
  mutable Index unreadable_count_ = 0;
};

}  // namespace swav::resnet
