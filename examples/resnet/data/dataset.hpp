// Image data sets. In: a data set's name and folder. Out: its parts, images with their labels, by number.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/decoded_images.hpp"
#include "data/image_source.hpp"
#include "swav/crops/photometry.hpp"

namespace swav::resnet {

/// Images of height x width x channels in memory: interleaved, row by row, one after another in `pixels`.
class ImageSet final : public ImageSource {
 public:
  std::vector<std::uint8_t> pixels = {};

  ImageSet(Index height, Index width, Index channels) : height_(height), width_(width), channels_(channels) {}

  [[nodiscard]] Index image_size() const { return height_ * width_ * channels_; }
  [[nodiscard]] ImageView<std::uint8_t> image(Index i) const {
    return {pixels.data() + i * image_size(), height_, width_, channels_};
  }

  [[nodiscard]] Index count() const override { return static_cast<Index>(pixels.size()) / image_size(); }
  [[nodiscard]] Index channels() const override { return channels_; }
  [[nodiscard]] Index side() const override { return height_ == width_ ? height_ : 0; }
  [[nodiscard]] std::span<const std::uint8_t> storage() const override { return pixels; }
  [[nodiscard]] std::string describe() const override;
  [[nodiscard]] std::unique_ptr<ImageReader> reader() const override;

 private:
  Index height_, width_, channels_;
};

struct Dataset {
  std::string name;
  std::vector<std::string> class_names = {};
  Normalization normalization = {};
  std::unique_ptr<const ImageSource> training = {};  // what the k-NN and linear evaluations learn from, if labelled
  std::unique_ptr<const ImageSource> unlabeled =
      {};                                        // null unless it has a part of its own for learning without labels
  std::unique_ptr<const ImageSource> test = {};  // null if it has none

  /// What the network is trained on: the unlabelled part if there is one.
  [[nodiscard]] const ImageSource& pretraining() const { return unlabeled ? *unlabeled : *training; }
  /// Whether both training and test images have classes.
  [[nodiscard]] bool has_classes() const { return test && !test->labels.empty() && !training->labels.empty(); }
  /// Those of all parts: ImageSource::take_problems().
  [[nodiscard]] std::vector<std::string> take_problems() const;
};

/// Loads "fashion-mnist" (IDX files, gzip or plain), "cifar10" (binary version) or "stl10" (binary version) from
/// `folder`, an empty folder meaning default_folder(name), or indexes the "imagefolder" in `folder`. Throws FileError,
/// which names the file, for one that is missing, truncated, oversized or something else; InvalidInput for an unknown
/// name.
[[nodiscard]] Dataset load_dataset(const std::string& name, const std::filesystem::path& folder,
                                   const DiskOptions& options = {});

/// Where Debian's packages put the data set, or ./data/<name> where no package has it.
[[nodiscard]] std::filesystem::path default_folder(const std::string& name);

/// The single formats; load_dataset chooses among them.
[[nodiscard]] Dataset load_fashion_mnist(const std::filesystem::path& folder);
[[nodiscard]] Dataset load_cifar10(const std::filesystem::path& folder);
[[nodiscard]] Dataset load_stl10(const std::filesystem::path& folder);

/// Images of any size as files, read when they are needed. A part is a folder of JPEG and PNG files without classes, or
/// with a folder for each class (folders inside these belong to it), or of tar shards (tar_shard.hpp). `folder` has the
/// parts train, val or test if there is one, and unlabeled if there is one, or is itself the training part. Files are
/// numbered by their names' order; links are followed, and what begins with a dot is left out. Only the images that the
/// network is trained on are cached. Throws FileError for a folder without images, with more than one kind of them,
/// with parts under other names (part_names.hpp), with a link to a folder above it, or with classes in val or test that
/// train has not.
[[nodiscard]] Dataset load_image_folder(const std::filesystem::path& folder, const DiskOptions& options);

}  // namespace swav::resnet
