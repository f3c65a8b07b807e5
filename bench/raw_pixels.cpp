// What the two classifiers make of images without any network: the least that features have to beat. In: a data set's
// name and folder, as swav-train takes them. Out: its accuracies on raw pixels.
#include <cstdint>
#include <cstdio>
#include <exception>

#include "train/evaluation.hpp"

namespace {

swav::resnet::PartFeatures pixels(const swav::resnet::ImageSource& images) {
  swav::resnet::PartFeatures features{.labels = images.labels};
  const std::unique_ptr<swav::resnet::ImageReader> reader = images.reader();
  for (swav::Index i = 0; i < images.count(); ++i) {
    const swav::ImageView<std::uint8_t> image = reader->read(i);
    const swav::Index size = image.height * image.width * image.channels;
    features.rows.resize(images.count(), size);
    features.rows.row(i) =
        Eigen::Map<const Eigen::RowVector<std::uint8_t, Eigen::Dynamic>>(image.data, size).cast<float>() / 255.0f;
  }
  return features;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    const swav::resnet::Dataset data =
        swav::resnet::load_dataset(count > 1 ? arguments[1] : "fashion-mnist", count > 2 ? arguments[2] : "");
    const swav::resnet::Accuracies result =
        swav::resnet::evaluate_features(pixels(*data.training), pixels(*data.test), 0);
    std::printf("%s, raw pixels: k-NN %.2f %%, linear %.2f %%\n", data.name.c_str(), 100 * result.knn,
                100 * result.linear);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "raw_pixels: error: %s\n", error.what());
    return 1;
  }
}
