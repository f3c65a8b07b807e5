// What the two classifiers make of images without any network: the least that features have to beat. In: a data set's
// name and folder, as swav-train takes them. Out: its accuracies on raw pixels.
#include <cstdint>
#include <cstdio>
#include <exception>

#include "train/evaluation.hpp"

namespace {

swav::RowMatrix<float> pixels(const swav::resnet::ImageSet& images) {
  return Eigen::Map<const swav::RowMatrix<std::uint8_t>>(images.pixels.data(), images.count(), images.image_size())
             .cast<float>() /
         255.0f;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    const swav::resnet::Dataset data =
        swav::resnet::load_dataset(count > 1 ? arguments[1] : "fashion-mnist", count > 2 ? arguments[2] : "");
    const swav::resnet::Accuracies result =
        swav::resnet::evaluate_features({pixels(data.training), pixels(data.test)}, data, 0);
    std::printf("%s, raw pixels: k-NN %.2f %%, linear %.2f %%\n", data.name.c_str(), 100 * result.knn,
                100 * result.linear);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "raw_pixels: error: %s\n", error.what());
    return 1;
  }
}
