// Images on their way into a network whose crops are not a learner's: those of evaluation and finetuning. In: decoded
// images and the crops that are wanted of them. Out: the network's images.
#pragma once

#include <cstdint>
#include <memory>

#include "model/network.hpp"
#include "swav/crops/passes.hpp"

namespace swav::resnet {

/// Where crops go, and what is made of their pixels.
struct FeedPlan {
  ImageMemory to;  ///< of `count` images, for as long as the feed
  Index count, channels, size;
  Normalization normalization;
};

/// Crops are rendered where the network computes: by the thread that brings an image, or all at once on a GPU.
class ImageFeed {
 public:
  virtual ~ImageFeed() = default;
  /// The crop of an image, size x size, becomes image `at` of the network's; by any thread. The pixels are not needed
  /// any more when it returns. Not before the work that reads the images of the last batch has been enqueued.
  virtual void put(Index at, const ImageView<std::uint8_t>& image, const CropPlan& plan) = 0;
  /// Once all images of a batch have been put: what is enqueued next finds them. Others are as they were.
  virtual void finish() = 0;
};

/// One for each processor; that of CUDA throws InvalidInput in a build without.
[[nodiscard]] std::unique_ptr<ImageFeed> make_cpu_feed(const FeedPlan& plan);
[[nodiscard]] std::unique_ptr<ImageFeed> make_cuda_feed(const FeedPlan& plan);
[[nodiscard]] inline std::unique_ptr<ImageFeed> make_feed(Processor processor, const FeedPlan& plan) {
  return processor == Processor::cuda ? make_cuda_feed(plan) : make_cpu_feed(plan);
}

}  // namespace swav::resnet
