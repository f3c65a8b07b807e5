// Crops of a batch in one launch. In: images, packed by the threads that bring them. Out: pixels as the network's first
// convolution reads them.
#include <memory>
#include <vector>

#include "engine/cuda/device.cuh"
#include "swav/backend/cuda/crop_passes.cuh"
#include "train/cuda/image_upload.cuh"
#include "train/image_feed.hpp"

namespace swav::resnet {
namespace {

template <class T>
class CudaFeed final : public ImageFeed {
 public:
  explicit CudaFeed(const FeedPlan& plan)
      : plan_(plan), packed_(plan.count), plans_(static_cast<std::size_t>(plan.count)) {}

  void put(Index at, const ImageView<std::uint8_t>& image, const CropPlan& plan) override {
    swav::detail::check_image(image);
    swav::detail::check_plan(plan, image.height, image.width);
    packed_.put(at, {.image = image});
    CropPlan& own = plans_[static_cast<std::size_t>(at)];
    own = plan;
    own.layout = PixelLayout::interleaved;
    own.pixel_stride = plan_.to.pixel_stride;
  }

  void finish() override {
    packed_.gather(cuda::ImageUpload::pinned_memory);
    if (packed_.memory().empty()) return;
    const std::uint8_t* const pixels = upload_.upload(packed_.memory());
    std::vector<CropJob<std::uint8_t, T>> jobs;
    for (std::size_t i = 0; i < plans_.size(); ++i) {
      ImageView<std::uint8_t> image = packed_.images()[i];
      if (image.data == nullptr) continue;
      image.data = pixels + (image.data - packed_.memory().data());
      const Index values = plan_.to.pixel_stride * plan_.size * plan_.size;
      jobs.push_back(
          {image, plans_[i], &plan_.normalization, static_cast<T*>(plan_.to.data) + static_cast<Index>(i) * values});
    }
    CropPasses<CudaDevice>::render_all(cuda::trainer_device(), std::span<const CropJob<std::uint8_t, T>>(jobs));
    upload_.release();
    upload_.wait();  // some milliseconds at most, beside what the stream has to do
    packed_.clear();
  }

 private:
  FeedPlan plan_;
  PackedImages packed_;
  std::vector<CropPlan> plans_;
  cuda::ImageUpload upload_;
};

}  // namespace

std::unique_ptr<ImageFeed> make_cuda_feed(const FeedPlan& plan) {
  swav::detail::check_normalization(plan.normalization, plan.channels);
  if (plan.to.precision == Precision::float32) return std::make_unique<CudaFeed<float>>(plan);
  return std::make_unique<CudaFeed<__nv_bfloat16>>(plan);
}

}  // namespace swav::resnet
