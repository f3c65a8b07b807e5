// The presets. In: a name. Out: settings.
#include "train/presets.hpp"

#include "swav/core/error.hpp"

namespace swav::resnet {
namespace {

// The defaults. Crops are smaller than the images: what is in them then has the size that it has in a whole image,
// which is what features are taken from, and a step costs less.
TrainOptions fashion_mnist_quick() { return {.preset = "fashion-mnist-quick"}; }

// A minute's worth of steps, to see that everything works.
TrainOptions fashion_mnist_smoke() {
  TrainOptions o = fashion_mnist_quick();
  o.preset = "fashion-mnist-smoke";
  o.epochs = 1;
  o.max_steps = 120;
  o.warmup_epochs = 0.1;
  return o;
}

TrainOptions fashion_mnist_best() {
  TrainOptions o = fashion_mnist_quick();
  o.preset = "fashion-mnist-best";
  o.width = 64;
  o.hidden = 512;
  o.epochs = 6;
  return o;
}

// Crops and jitter as published CIFAR-10 results of SwAV have them: half the jitter, no blur, 2 crops of 32.
TrainOptions cifar10() {
  return {.preset = "cifar10",
          .data = "cifar10",
          .depth = 18,
          .width = 64,
          .hidden = 2048,
          .embedding = 128,
          .large_size = 32,
          .large_scale = {0.2, 1.0},
          .small_crops = 0,
          .small_size = 16,
          .brightness = 0.4,
          .contrast = 0.4,
          .saturation = 0.4,
          .hue = 0.1,
          .grayscale = 0.2,
          .prototypes = 512,
          .freeze_prototypes = 390,
          .batch_size = 128,
          .epochs = 200,
          .optimizer = "adamw",
          .learning_rate = 0.001,
          .warmup_epochs = 2,
          .weight_decay = 1e-4,
          .eval_interval = 20};
}

TrainOptions stl10() {
  return {.preset = "stl10",
          .data = "stl10",
          .depth = 18,
          .width = 64,
          .stem = "imagenet",
          .hidden = 2048,
          .embedding = 128,
          .large_size = 96,
          .large_scale = {0.2, 1.0},
          .small_crops = 4,
          .small_size = 48,
          .small_scale = {0.05, 0.2},
          .brightness = 0.8,
          .contrast = 0.8,
          .saturation = 0.8,
          .hue = 0.2,
          .grayscale = 0.2,
          .blur = 0.5,
          .prototypes = 512,
          .freeze_prototypes = 800,
          .batch_size = 256,
          .epochs = 100,
          .larc = true,
          .learning_rate = 0.6,
          .final_learning_rate = 0.0006,
          .warmup_epochs = 1,
          .weight_decay = 1e-6,
          .eval_interval = 10};
}

// Photographs of any size, at what a CPU can do.
TrainOptions image_folder() {
  TrainOptions o = stl10();
  o.preset = "imagefolder";
  o.data = "imagefolder";
  return o;
}

}  // namespace

const std::vector<Preset>& presets() {
  static const std::vector<Preset> list = [] {
    std::vector<Preset> all = {
        {"fashion-mnist-quick", "5 minutes on 2 cores"},
        {"fashion-mnist-best", "the most accurate on Fashion-MNIST: 52 minutes on 2 cores"},
        {"fashion-mnist-smoke", "120 steps, to see that everything works"},
        {"cifar10", "ResNet-18, 200 epochs"},
        {"stl10", "ResNet-18, 100 epochs over the 100,000 unlabelled images"},
        {"imagefolder", "image files in --data-dir, which docs/data.md describes; otherwise as stl10"},
    };
    for (const Preset& row : release_presets()) all.push_back(row);
    return all;
  }();
  return list;
}

TrainOptions preset_options(const std::string& name) {
  if (name == "fashion-mnist-quick") return fashion_mnist_quick();
  if (name == "fashion-mnist-best") return fashion_mnist_best();
  if (name == "fashion-mnist-smoke") return fashion_mnist_smoke();
  if (name == "cifar10") return cifar10();
  if (name == "stl10") return stl10();
  if (name == "imagefolder") return image_folder();
  if (const std::optional<TrainOptions> row = release_preset_options(name)) return *row;
  std::string names;
  for (const Preset& known : presets()) names += std::string(names.empty() ? "" : ", ") + known.name;
  throw InvalidInput("--preset: '" + name + "' found, one of " + names + " wanted");
}

}  // namespace swav::resnet
