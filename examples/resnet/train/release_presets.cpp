// A preset for each row of the SwAV release's tables, with what its README and scripts state. In: a name. Out:
// settings.
#include <algorithm>
#include <array>
#include <functional>

#include "train/presets.hpp"

namespace swav::resnet {
namespace {

// All rows: ResNet-50 on ImageNet's folders, 2x224 + 6x96, 4096 images a step. The release spreads them over 64 GPUs;
// here 64 go through the network at a time.
TrainOptions base(const std::string& name, int epochs) {
  return {.preset = name,
          .data = "imagefolder",
          .depth = 50,
          .width = 64,
          .stem = "imagenet",
          .hidden = 2048,
          .embedding = 128,
          .large_size = 224,
          .large_scale = {0.14, 1.0},
          .small_crops = 6,
          .small_size = 96,
          .small_scale = {0.05, 0.14},
          .brightness = 0.8,
          .contrast = 0.8,
          .saturation = 0.8,
          .hue = 0.2,
          .grayscale = 0.2,
          .blur = 0.5,
          .prototypes = 3000,
          .freeze_prototypes = 313,
          .batch_size = 64,
          .accumulate = 64,
          .epochs = epochs,
          .larc = true,
          .start_learning_rate = 0.3,
          .learning_rate = 4.8,
          .final_learning_rate = 0.0048,
          .warmup_epochs = 10,
          .weight_decay = 1e-6,
          .eval_interval = 0};
}

// 256 images a step, and the queue from epoch 15.
TrainOptions small_batch(TrainOptions o) {
  o.accumulate = 4;
  o.queue_length = 3840;
  o.queue_start_epoch = 15;
  o.freeze_prototypes = 5005;
  o.start_learning_rate = 0;
  o.learning_rate = 0.6;
  o.final_learning_rate = 0.0006;
  o.warmup_epochs = 0;
  return o;
}

TrainOptions two_views(TrainOptions o) {
  o.small_crops = 0;
  o.large_scale = {0.08, 1.0};
  return o;
}

TrainOptions small_views(TrainOptions o) {
  o.large_size = 160;
  o.large_scale = {0.08, 1.0};
  o.small_crops = 4;
  return o;
}

// Targets are the data set's: batches need no common codes, and accumulate plain gradients.
TrainOptions clustered(TrainOptions o, const char* objective) {
  o.objective = objective;
  o.heads = {3000, 3000, 3000};
  return o;
}

TrainOptions wide(TrainOptions o, int factor) {
  o.width = 64 * factor;
  o.hidden = 8192;
  o.small_crops = 4;
  if (factor == 4) {
    o.large_scale = {0.08, 1.0};
    o.small_scale = {0.08, 0.14};
    o.batch_size = 40;
    o.queue_length = 2560;
  }
  return o;
}

struct ReleasePreset {
  Preset preset;
  std::function<TrainOptions(const std::string&)> make;
};

const std::vector<ReleasePreset>& rows() {
  static const std::vector<ReleasePreset> list = {
      {{"swav-800ep", "the release's ResNet-50, 4096 images a step: 75.3 % linear on ImageNet"},
       [](const std::string& n) { return base(n, 800); }},
      {{"swav-400ep", "400 epochs: 74.6 %"}, [](const std::string& n) { return base(n, 400); }},
      {{"swav-200ep", "200 epochs: 73.9 %"}, [](const std::string& n) { return base(n, 200); }},
      {{"swav-100ep", "100 epochs: 72.1 %"}, [](const std::string& n) { return base(n, 100); }},
      {{"swav-400ep-bs256", "256 images a step and a queue: 74.3 %"},
       [](const std::string& n) { return small_batch(base(n, 400)); }},
      {{"swav-200ep-bs256", "200 epochs of it: 72.7 %"},
       [](const std::string& n) { return small_batch(base(n, 200)); }},
      {{"swav-400ep-2x224", "without small crops: 70.1 %"},
       [](const std::string& n) { return two_views(base(n, 400)); }},
      {{"swav-rn50w2-400ep", "twice the width: 77.3 %"}, [](const std::string& n) { return wide(base(n, 400), 2); }},
      {{"swav-rn50w4-400ep", "four times: 77.9 %"}, [](const std::string& n) { return wide(base(n, 400), 4); }},
      {{"deepclusterv2-800ep", "DeepCluster-v2: 75.2 %"},
       [](const std::string& n) { return clustered(base(n, 800), "deepcluster-v2"); }},
      {{"deepclusterv2-400ep", "2x160 + 4x96: 74.3 %"},
       [](const std::string& n) { return clustered(small_views(base(n, 400)), "deepcluster-v2"); }},
      {{"deepclusterv2-400ep-2x224", "70.2 %"},
       [](const std::string& n) { return clustered(two_views(base(n, 400)), "deepcluster-v2"); }},
      {{"selav2-400ep", "SeLa-v2, 2x160 + 4x96: 71.8 %; what the release does not state is DeepCluster-v2's"},
       [](const std::string& n) { return clustered(small_views(base(n, 400)), "sela-v2"); }},
      {{"selav2-400ep-2x224", "67.2 %"},
       [](const std::string& n) { return clustered(two_views(base(n, 400)), "sela-v2"); }},
  };
  return list;
}

}  // namespace

std::vector<Preset> release_presets() {
  std::vector<Preset> list;
  for (const ReleasePreset& row : rows()) list.push_back(row.preset);
  return list;
}

std::optional<TrainOptions> release_preset_options(const std::string& name) {
  const auto row = std::ranges::find_if(rows(), [&](const ReleasePreset& r) { return r.preset.name == name; });
  if (row == rows().end()) return std::nullopt;
  return row->make(name);
}

}  // namespace swav::resnet
