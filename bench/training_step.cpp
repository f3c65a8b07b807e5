// Times whole training steps of the quickstart: crops, network, codes, loss, gradients, optimiser. In: requests
// (line_protocol.hpp) for quickstart, and for quickstart_crops: ten steps, with the crops' share of them in percent.
// Out: seconds.
#include <chrono>
#include <memory>

#include "data/dataset.hpp"
#include "line_protocol.hpp"
#include "swav/core/philox.hpp"
#include "train/learner.hpp"
#include "train/presets.hpp"

namespace {

using namespace swav;

struct Quickstart {
  Quickstart() : images(28, 28, 1) {
    resnet::TrainOptions options = resnet::preset_options("fashion-mnist-quick");
    options.freeze_prototypes = 0;
    PhiloxStream random(1, 0);
    images.pixels.resize(28 * 28 * 10'000);
    for (std::uint8_t& pixel : images.pixels) pixel = static_cast<std::uint8_t>(random.below(256));
    learner = std::make_unique<resnet::Learner>(options, images, Normalization{});
  }
  resnet::ImageSet images;
  std::unique_ptr<resnet::Learner> learner;
};

bench::Work step() {
  return [q = std::make_shared<Quickstart>()] { q->learner->step(); };
}

bench::Work crops_share() {
  return [q = std::make_shared<Quickstart>()] {
    const auto start = std::chrono::steady_clock::now();
    double crops = 0;
    for (int i = 0; i < 10; ++i) crops += q->learner->step().data_seconds;
    return 100 * crops / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
}

}  // namespace

int main() { return bench::serve({{"quickstart", step}, {"quickstart_crops", crops_share}}); }
