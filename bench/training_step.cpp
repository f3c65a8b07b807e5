// Times whole training steps of the quickstart: crops, network, codes, loss, gradients, optimiser. In: requests
// (line_protocol.hpp) for quickstart. Out: seconds.
#include <memory>

#include "data/dataset.hpp"
#include "line_protocol.hpp"
#include "swav/core/philox.hpp"
#include "train/learner.hpp"
#include "train/presets.hpp"

namespace {

using namespace swav;

std::function<void()> quickstart() {
  resnet::TrainOptions options = resnet::preset_options("fashion-mnist-quick");
  options.freeze_prototypes = 0;
  PhiloxStream random(1, 0);
  const auto images = std::make_shared<resnet::ImageSet>(resnet::ImageSet{28, 28, 1});
  images->pixels.resize(28 * 28 * 10'000);
  for (std::uint8_t& pixel : images->pixels) pixel = static_cast<std::uint8_t>(random.below(256));
  const auto learner = std::make_shared<resnet::Learner>(options, *images, Normalization{});
  return [images, learner] { learner->step(); };
}

}  // namespace

int main() { return bench::serve({{"quickstart", quickstart}}); }
