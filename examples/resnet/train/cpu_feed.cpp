// Crops by the threads that bring images. In: images. Out: planes of floats.
#include "swav/crops/multi_crop.hpp"
#include "train/image_feed.hpp"

namespace swav::resnet {
namespace {

class CpuFeed final : public ImageFeed {
 public:
  explicit CpuFeed(const FeedPlan& plan) : plan_(plan) {}
  void put(Index at, const ImageView<std::uint8_t>& image, const CropPlan& plan) override {
    const Index values = plan_.channels * plan_.size * plan_.size;
    render_crop(image, plan, plan_.normalization, static_cast<float*>(plan_.to.data) + at * values);
  }
  void finish() override {}

 private:
  FeedPlan plan_;
};

}  // namespace

std::unique_ptr<ImageFeed> make_cpu_feed(const FeedPlan& plan) { return std::make_unique<CpuFeed>(plan); }

}  // namespace swav::resnet
