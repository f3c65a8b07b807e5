// Images on their way to a GPU. In: images of any size, decoded or as JPEG files, from several threads. Out: the same
// next to each other in one piece of memory that the GPU copies from.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "data/image_source.hpp"
#include "swav/crops/image_view.hpp"

namespace swav::resnet {

/// Memory of the host for so many bytes; null for none.
using HostMemory = std::shared_ptr<std::uint8_t>;
using HostAllocator = std::function<HostMemory(std::size_t bytes)>;

class PackedImages {
 public:
  /// So many places.
  explicit PackedImages(Index count);

  /// All places are empty again.
  void clear();
  /// A copy of the image or the file goes to place `at`; by any thread, each to places of its own.
  void put(Index at, const ReadImage& image);
  /// Once all images are there, by one thread: they are in memory() from now on. Memory is asked for where it is too
  /// small, and then a quarter more than is needed.
  void gather(const HostAllocator& allocate);

  /// A place each, without data where it is empty. Valid from gather() until clear().
  [[nodiscard]] std::span<const ImageView<std::uint8_t>> images() const { return images_; }
  /// A place each, without bytes where there are pixels or nothing.
  [[nodiscard]] std::span<const JpegFile> jpegs() const { return jpegs_; }
  [[nodiscard]] std::span<const std::uint8_t> memory() const { return {memory_.get(), used_.load()}; }

 private:
  std::vector<ImageView<std::uint8_t>> images_;
  std::vector<JpegFile> jpegs_;
  std::vector<std::size_t> offsets_;
  std::vector<std::vector<std::uint8_t>> beyond_;  // images that the memory is too small for
  std::atomic<std::size_t> used_ = 0;              // bytes, of those, too
  HostMemory memory_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace swav::resnet
