// A checkpoint for torchvision. In: the folder that torchvision_loads.py names. Out: the checkpoint of a learner whose
// network is torchvision's resnet18 or 50, and images with the features we make of them.
#include <doctest/doctest.h>

#include <cstdlib>

#include "data/dataset.hpp"
#include "support.hpp"
#include "swav/core/philox.hpp"
#include "swav/io/safetensors.hpp"
#include "train/checkpoint.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

TEST_CASE("the checkpoint that torchvision loads is written") {
  const char* const folder = std::getenv("SWAV_CHECKPOINT_FOR_TORCHVISION");
  if (folder == nullptr) return;
  PhiloxStream random(5, 0);
  ImageSet images(40, 40, 3);
  images.pixels.resize(16 * 40 * 40 * 3);
  for (std::uint8_t& pixel : images.pixels) pixel = static_cast<std::uint8_t>(random.below(256));

  TrainOptions options = tiny_options("", folder);
  options.depth = std::atoi(std::getenv("SWAV_DEPTH_FOR_TORCHVISION"));
  options.width = 64;
  options.stem = "imagenet";
  options.precision = "float32";
  options.large_size = 32;
  options.small_crops = 0;
  options.batch_size = 8;
  Learner learner(options, images, Normalization{});
  for (int step = 0; step < 4; ++step) learner.step();
  write_checkpoint(folder, options, learner, {.step = 4, .total_steps = learner.total_steps()});

  const Index count = 4, size = 64;
  FeatureExtractor extractor(learner.network(), {count, static_cast<int>(size)}, Precision::float32);
  for (float& value : extractor.input()) value = static_cast<float>(random.uniform(-2.0, 2.0));
  extractor.compute();
  const MatrixView<const float> features = extractor.features();
  const std::span<const float> pixels = extractor.input();
  const std::vector<StoredTensor> tensors{
      stored_tensor<float>("images", {count, 3, size, size}, pixels),
      stored_tensor<float>("features", {count, features.cols},
                           std::span<const float>(features.data, static_cast<std::size_t>(features.size())))};
  write_safetensors(std::string(folder) + "/features.safetensors", tensors);
}
