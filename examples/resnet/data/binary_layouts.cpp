// CIFAR-10 (Krizhevsky, 2009) and STL-10 (Coates, Lee, Ng, 2011) in their published binary layouts.
// In: a folder with their .bin files. Out: the data set, planes turned into interleaved pixels.
#include "data/dataset.hpp"
#include "data/input_file.hpp"

namespace swav::resnet {
namespace {

// The published mean and deviation of each training set, over pixels in [0, 1].
constexpr Normalization cifar10_normalization{.mean = {0.4914, 0.4822, 0.4465}, .std = {0.2470, 0.2435, 0.2616}};
constexpr Normalization stl10_normalization{.mean = {0.4467, 0.4398, 0.4066}, .std = {0.2603, 0.2566, 0.2713}};

// One file of CIFAR-10: `records` times a label byte and the red, green and blue planes of 32 x 32 pixels, row by row.
void append_cifar10(const std::filesystem::path& path, ImageSet& images) {
  constexpr std::size_t records = 10000, plane = std::size_t{32} * 32, record = 1 + 3 * plane;
  InputFile file(path);
  const std::vector<std::uint8_t> bytes = file.read(records * record);
  file.expect_end();
  const std::size_t first = images.pixels.size();
  images.pixels.resize(first + records * 3 * plane);
  for (std::size_t r = 0; r < records; ++r) {
    const std::uint8_t* source = bytes.data() + r * record;
    if (source[0] > 9)
      file.fail("foreign: label " + std::to_string(source[0]) + " in record " + std::to_string(r) + ", 0 to 9 wanted");
    images.labels.push_back(source[0]);
    std::uint8_t* image = images.pixels.data() + first + r * 3 * plane;
    for (std::size_t p = 0; p < plane; ++p)
      for (std::size_t c = 0; c < 3; ++c) image[3 * p + c] = source[1 + c * plane + p];
  }
}

// Images of STL-10: red, green and blue planes of 96 x 96 pixels, column by column.
std::unique_ptr<ImageSet> read_stl10_images(const std::filesystem::path& path, std::size_t count) {
  constexpr std::size_t side = 96, plane = side * side;
  auto images = std::make_unique<ImageSet>(side, side, 3);
  images->pixels.resize(count * 3 * plane);
  InputFile file(path);
  std::vector<std::uint8_t> planes;
  for (std::size_t i = 0; i < count; ++i) {
    planes.clear();
    file.append(3 * plane, planes);
    std::uint8_t* image = images->pixels.data() + i * 3 * plane;
    for (std::size_t y = 0; y < side; ++y)
      for (std::size_t x = 0; x < side; ++x)
        for (std::size_t c = 0; c < 3; ++c) image[3 * (side * y + x) + c] = planes[c * plane + side * x + y];
  }
  file.expect_end();
  return images;
}

// Labels of STL-10: a byte each, 1 to 10.
std::vector<int> read_stl10_labels(const std::filesystem::path& path, std::size_t count) {
  InputFile file(path);
  std::vector<int> labels;
  for (const std::uint8_t label : file.read(count)) {
    if (label < 1 || label > 10) file.fail("foreign: label " + std::to_string(label) + " found, 1 to 10 wanted");
    labels.push_back(label - 1);
  }
  file.expect_end();
  return labels;
}

}  // namespace

Dataset load_cifar10(const std::filesystem::path& folder) {
  Dataset data{
      .name = "CIFAR-10",
      .class_names = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
      .normalization = cifar10_normalization};
  auto training = std::make_unique<ImageSet>(32, 32, 3), test = std::make_unique<ImageSet>(32, 32, 3);
  for (int batch = 1; batch <= 5; ++batch)
    append_cifar10(folder / ("data_batch_" + std::to_string(batch) + ".bin"), *training);
  append_cifar10(folder / "test_batch.bin", *test);
  data.training = std::move(training);
  data.test = std::move(test);
  return data;
}

Dataset load_stl10(const std::filesystem::path& folder) {
  Dataset data{.name = "STL-10",
               .class_names = {"airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"},
               .normalization = stl10_normalization};
  std::unique_ptr<ImageSet> training = read_stl10_images(folder / "train_X.bin", 5000);
  training->labels = read_stl10_labels(folder / "train_y.bin", 5000);
  std::unique_ptr<ImageSet> test = read_stl10_images(folder / "test_X.bin", 8000);
  test->labels = read_stl10_labels(folder / "test_y.bin", 8000);
  data.training = std::move(training);
  data.test = std::move(test);
  std::error_code error;
  if (std::filesystem::exists(folder / "unlabeled_X.bin", error))
    data.unlabeled = read_stl10_images(folder / "unlabeled_X.bin", 100000);
  return data;
}

}  // namespace swav::resnet
