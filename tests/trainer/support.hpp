// What the trainer's tests share. In: nothing. Out: tiny data sets, tiny settings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "files.hpp"
#include "swav/core/philox.hpp"
#include "train/options.hpp"
#include "train/presets.hpp"

namespace swav::test {

/// An IDX file of unsigned bytes.
inline Bytes idx_file(const std::vector<std::uint32_t>& shape, const Bytes& values) {
  Bytes file{0, 0, 8, static_cast<std::uint8_t>(shape.size())};
  for (const std::uint32_t size : shape)
    for (int shift = 24; shift >= 0; shift -= 8) file.push_back(static_cast<std::uint8_t>(size >> shift));
  file.insert(file.end(), values.begin(), values.end());
  return file;
}

/// `count` images of 28 x 28: a bright square on noise, at one of ten places; its place is the class.
inline void write_idx_part(const std::filesystem::path& folder, const std::string& part, std::uint32_t count) {
  Bytes pixels, labels;
  PhiloxStream random(part == "train" ? 1 : 2, 0);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::uint8_t>(random.below(10));
    labels.push_back(label);
    for (int y = 0; y < 28; ++y)
      for (int x = 0; x < 28; ++x) {
        const bool inside = y / 14 == label / 5 && x / 5 == label % 5;
        pixels.push_back(static_cast<std::uint8_t>(random.below(80) + (inside ? 150 : 0)));
      }
  }
  write_bytes(folder / (part + "-images-idx3-ubyte"), idx_file({count, 28, 28}, pixels));
  write_bytes(folder / (part + "-labels-idx1-ubyte"), idx_file({count}, labels));
}

inline void write_tiny_fashion_mnist(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write_idx_part(folder, "train", 96);
  write_idx_part(folder, "t10k", 40);
}

/// Images in memory that have nothing in them.
inline resnet::ImageSet noise(std::size_t count = 96, Index side = 28) {
  resnet::ImageSet images(side, side, 1);
  images.pixels.resize(count * static_cast<std::size_t>(side * side));
  PhiloxStream random(3, 0);
  for (std::uint8_t& pixel : images.pixels) pixel = static_cast<std::uint8_t>(random.below(256));
  return images;
}

/// 6 steps an epoch, 18 in all; a step takes some milliseconds.
inline resnet::TrainOptions tiny_options(const std::filesystem::path& data, const std::filesystem::path& output) {
  resnet::TrainOptions o = resnet::preset_options("fashion-mnist-quick");
  o.data_dir = data.string();
  o.output = output.string();
  o.width = 16;
  o.hidden = 16;
  o.embedding = 8;
  o.large_size = 16;
  o.small_size = 8;
  o.prototypes = 12;
  o.freeze_prototypes = 4;
  o.batch_size = 16;
  o.epochs = 3;
  o.threads = 1;
  o.checkpoint_interval = 4;
  return o;
}

/// The same settings as arguments.
inline std::vector<std::string> tiny_arguments(const std::filesystem::path& data, const std::filesystem::path& output) {
  return {"--data-dir",
          data.string(),
          "--output",
          output.string(),
          "--width",
          "16",
          "--hidden",
          "16",
          "--embedding",
          "8",
          "--large-size",
          "16",
          "--small-size",
          "8",
          "--prototypes",
          "12",
          "--freeze-prototypes",
          "4",
          "--batch-size",
          "16",
          "--epochs",
          "3",
          "--threads",
          "1",
          "--checkpoint-interval",
          "4"};
}

}  // namespace swav::test
