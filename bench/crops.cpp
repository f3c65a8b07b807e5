// Times the multi-crop sampler from decoded pixels, on one thread unless the name says otherwise. In: nothing. Out:
// Google Benchmark's table; "views" is views a second. bench/peers/crops.py times torchvision at the same work.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "swav/backend/eigen/device.hpp"
#include "swav/crops/multi_crop.hpp"

namespace {

using namespace swav;

std::vector<std::uint8_t> noise(Index count) {
  PhiloxStream random(1, 0);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(count));
  for (auto& p : pixels) p = static_cast<std::uint8_t>(random.below(256));
  return pixels;
}

/// Room for one image's views, one after the other.
struct Views {
  Views(const MultiCropSampler& crops, Index channels) {
    Index total = 0;
    for (Index v = 0; v < crops.views(); ++v) total += channels * crops.view(v).size * crops.view(v).size;
    values.resize(static_cast<std::size_t>(total));
    float* next = values.data();
    for (Index v = 0; v < crops.views(); next += channels * crops.view(v).size * crops.view(v).size, ++v)
      outputs.push_back(next);
  }
  std::vector<float> values;
  std::vector<float*> outputs;
};

void photograph(benchmark::State& state, const MultiCropSampler& crops) {
  const auto pixels = noise(375 * 500 * 3);
  const ImageView<std::uint8_t> image{pixels.data(), 375, 500, 3};
  Views views(crops, 3);
  std::uint64_t index = 0;
  for (auto _ : state) {
    // The same 64 draws again and again: what a view costs depends on what is drawn.
    crops(image, {1, 0, index++ % 64}, views.outputs);
    benchmark::ClobberMemory();
  }
  state.counters["views"] =
      benchmark::Counter(static_cast<double>(state.iterations() * crops.views()), benchmark::Counter::kIsRate);
}

const CropSpec large{};
const CropSpec small{.count = 6, .size = 96, .scale = {0.05, 0.14}};

void photograph_2x224_6x96(benchmark::State& state) { photograph(state, MultiCropSampler{{large, small}}); }
void photograph_2x224(benchmark::State& state) { photograph(state, MultiCropSampler{{large}}); }
void photograph_6x96(benchmark::State& state) { photograph(state, MultiCropSampler{{small}}); }
void photograph_resample_only(benchmark::State& state) {
  std::vector<CropSpec> specs{large, small};
  for (CropSpec& spec : specs) {
    spec.jitter.probability = 0;
    spec.grayscale = 0;
    spec.blur.probability = 0;
  }
  photograph(state, MultiCropSampler{specs});
}

/// A batch of Fashion-MNIST's size on `threads` threads: 128 images to 2 x 28 + 2 x 20.
void grey_28_batch(benchmark::State& state) {
  const ColorJitter jitter{.brightness = 0.6, .contrast = 0.6, .saturation = 0, .hue = 0};
  const CropSpec first{.count = 2, .size = 28, .scale = {0.3, 1.0}, .jitter = jitter, .blur = {.probability = 0}};
  CropSpec second = first;
  second.size = 20;
  second.scale = {0.1, 0.3};
  const MultiCropSampler crops{{first, second}};
  const EigenDevice device(static_cast<int>(state.range(0)));
  constexpr Index batch = 128;
  const auto pixels = noise(batch * 28 * 28);
  std::vector<Views> views;
  for (Index b = 0; b < batch; ++b) views.emplace_back(crops, 1);
  std::uint64_t epoch = 0;
  for (auto _ : state) {
    device.for_shares(batch, [&](int, Index from, Index count) {
      for (Index b = from; b < from + count; ++b)
        crops(ImageView<std::uint8_t>{pixels.data() + b * 28 * 28, 28, 28, 1},
              {1, epoch, static_cast<std::uint64_t>(b)}, views[static_cast<std::size_t>(b)].outputs);
    });
    ++epoch;
  }
  state.counters["views"] =
      benchmark::Counter(static_cast<double>(state.iterations() * batch * crops.views()), benchmark::Counter::kIsRate);
}

}  // namespace

BENCHMARK(photograph_2x224_6x96)->Unit(benchmark::kMicrosecond);
BENCHMARK(photograph_2x224)->Unit(benchmark::kMicrosecond);
BENCHMARK(photograph_6x96)->Unit(benchmark::kMicrosecond);
BENCHMARK(photograph_resample_only)->Unit(benchmark::kMicrosecond);
BENCHMARK(grey_28_batch)->ArgName("threads")->Arg(1)->Arg(2)->Unit(benchmark::kMicrosecond)->UseRealTime();

BENCHMARK_MAIN();
