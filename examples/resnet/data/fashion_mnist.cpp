// Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017) and whatever else is published as IDX files of 28 x 28 grey images.
// In: a folder with the four IDX files, each as NAME.gz or NAME. Out: the data set.
#include "data/dataset.hpp"
#include "data/input_file.hpp"

namespace swav::resnet {
namespace {

InputFile open_either(const std::filesystem::path& folder, const std::string& name) {
  const std::filesystem::path packed = folder / (name + ".gz");
  std::error_code error;
  return InputFile(std::filesystem::exists(packed, error) ? packed : folder / name);
}

std::uint32_t big_endian(const std::uint8_t* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

// An IDX header: two zero bytes, the element type (8: unsigned byte), the number of dimensions, then their sizes.
std::vector<std::uint32_t> idx_shape(InputFile& file, std::uint8_t dimensions) {
  const std::vector<std::uint8_t> magic = file.read(4);
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != 8 || magic[3] != dimensions)
    file.fail("foreign: no IDX header for unsigned bytes in " + std::to_string(dimensions) + " dimension(s)");
  const std::vector<std::uint8_t> sizes = file.read(std::size_t{4} * dimensions);
  std::vector<std::uint32_t> shape;
  for (std::size_t i = 0; i < dimensions; ++i) shape.push_back(big_endian(sizes.data() + 4 * i));
  return shape;
}

std::unique_ptr<ImageSet> read_idx(const std::filesystem::path& folder, const std::string& part, std::size_t classes) {
  auto images = std::make_unique<ImageSet>(28, 28, 1);
  InputFile pixels = open_either(folder, part + "-images-idx3-ubyte");
  const std::vector<std::uint32_t> shape = idx_shape(pixels, 3);
  if (shape[1] != 28 || shape[2] != 28)
    pixels.fail("images of " + std::to_string(shape[1]) + " x " + std::to_string(shape[2]) +
                " pixels found, 28 x 28 wanted");
  if (shape[0] == 0) pixels.fail("no images in it");
  pixels.append(std::size_t{shape[0]} * 28 * 28, images->pixels);
  pixels.expect_end();

  InputFile labels = open_either(folder, part + "-labels-idx1-ubyte");
  const std::vector<std::uint32_t> count = idx_shape(labels, 1);
  if (count[0] != shape[0])
    labels.fail(std::to_string(count[0]) + " labels found, " + std::to_string(shape[0]) + " wanted, one an image");
  for (const std::uint8_t label : labels.read(count[0])) {
    if (label >= classes)
      labels.fail("label " + std::to_string(label) + " found, less than " + std::to_string(classes) + " wanted");
    images->labels.push_back(label);
  }
  labels.expect_end();
  return images;
}

}  // namespace

Dataset load_fashion_mnist(const std::filesystem::path& folder) {
  Dataset data{.name = "Fashion-MNIST",
               .class_names = {"T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
                               "Ankle boot"},
               .normalization = {.mean = {0.286}, .std = {0.353}}};
  data.training = read_idx(folder, "train", data.class_names.size());
  data.test = read_idx(folder, "t10k", data.class_names.size());
  return data;
}

}  // namespace swav::resnet
