// Data sets by name. In: a name and a folder. Out: the data set.
#include "data/dataset.hpp"

#include "swav/core/error.hpp"

namespace swav::resnet {

std::filesystem::path default_folder(const std::string& name) {
  if (name == "fashion-mnist") return "/usr/share/datasets/fashion-mnist";
  return std::filesystem::path("data") / name;
}

Dataset load_dataset(const std::string& name, const std::filesystem::path& folder) {
  const std::filesystem::path where = folder.empty() ? default_folder(name) : folder;
  if (name == "fashion-mnist") return load_fashion_mnist(where);
  if (name == "cifar10") return load_cifar10(where);
  detail::require(name == "stl10", "data: '", name, "' found, fashion-mnist, cifar10 or stl10 wanted");
  return load_stl10(where);
}

}  // namespace swav::resnet
