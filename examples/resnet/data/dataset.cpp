// Data sets by name. In: a name and a folder. Out: the data set.
#include "data/dataset.hpp"

#include <utility>

#include "swav/core/error.hpp"

namespace swav::resnet {
namespace {

class MemoryReader final : public ImageReader {
 public:
  explicit MemoryReader(const ImageSet& images) : images_(images) {}
  ImageView<std::uint8_t> read(Index i) override { return images_.image(i); }

 private:
  const ImageSet& images_;
};

}  // namespace

std::string ImageSet::describe() const {
  return detail::concatenate(count(), " images of ", height_, " x ", width_, " x ", channels_);
}

std::unique_ptr<ImageReader> ImageSet::reader() const { return std::make_unique<MemoryReader>(*this); }

std::vector<std::string> Dataset::take_problems() const {
  std::vector<std::string> problems;
  for (const ImageSource* images : {training.get(), unlabeled.get(), test.get()})
    if (images != nullptr)
      for (std::string& problem : images->take_problems()) problems.push_back(std::move(problem));
  return problems;
}

std::filesystem::path default_folder(const std::string& name) {
  if (name == "fashion-mnist") return "/usr/share/datasets/fashion-mnist";
  return std::filesystem::path("data") / name;
}

Dataset load_dataset(const std::string& name, const std::filesystem::path& folder, const DiskOptions& options) {
  if (name == "imagefolder") {
    detail::require(!folder.empty(), "--data-dir: none found, the folder with the images wanted");
    return load_image_folder(folder, options);
  }
  const std::filesystem::path where = folder.empty() ? default_folder(name) : folder;
  if (name == "fashion-mnist") return load_fashion_mnist(where);
  if (name == "cifar10") return load_cifar10(where);
  detail::require(name == "stl10", "data: '", name, "' found, fashion-mnist, cifar10, stl10 or imagefolder wanted");
  return load_stl10(where);
}

}  // namespace swav::resnet
