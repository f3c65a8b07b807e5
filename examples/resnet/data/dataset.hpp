// Image data sets in memory. In: a data set's name and folder. Out: uint8 images, interleaved, with their labels.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "swav/core/matrix_view.hpp"
#include "swav/crops/multi_crop.hpp"

namespace swav::resnet {

/// `count` images of height x width x channels (interleaved, row by row), one after another, and a label for each
/// (empty where there are none).
struct ImageSet {
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  std::vector<std::uint8_t> pixels = {};
  std::vector<int> labels = {};

  [[nodiscard]] Index image_size() const { return height * width * channels; }
  [[nodiscard]] Index count() const { return image_size() == 0 ? 0 : static_cast<Index>(pixels.size()) / image_size(); }
  [[nodiscard]] ImageView<std::uint8_t> image(Index i) const {
    return {pixels.data() + i * image_size(), height, width, channels, width * channels};
  }
};

struct Dataset {
  std::string name;
  std::vector<std::string> class_names;
  Normalization normalization;
  ImageSet training = {};   // labelled: what the k-NN and linear evaluations learn from
  ImageSet unlabeled = {};  // empty unless the data set has a part of its own for learning without labels
  ImageSet test = {};

  /// What the network is trained on: the unlabelled part if there is one.
  [[nodiscard]] const ImageSet& pretraining() const { return unlabeled.count() > 0 ? unlabeled : training; }
};

/// Loads "fashion-mnist" (IDX files, gzip or plain), "cifar10" (binary version) or "stl10" (binary version) from
/// `folder`; an empty folder means default_folder(name). Throws FileError, which names the file, for one that is
/// missing, truncated, oversized or something else; InvalidInput for an unknown name.
[[nodiscard]] Dataset load_dataset(const std::string& name, const std::filesystem::path& folder);

/// Where Debian's packages put the data set, or ./data/<name> where no package has it.
[[nodiscard]] std::filesystem::path default_folder(const std::string& name);

inline constexpr std::array<const char*, 3> dataset_names = {"fashion-mnist", "cifar10", "stl10"};

/// The single formats; load_dataset chooses among them.
[[nodiscard]] Dataset load_fashion_mnist(const std::filesystem::path& folder);
[[nodiscard]] Dataset load_cifar10(const std::filesystem::path& folder);
[[nodiscard]] Dataset load_stl10(const std::filesystem::path& folder);

}  // namespace swav::resnet
