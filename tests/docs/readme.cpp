// What the README and docs/ show of the library, as they show it: the regions in brackets are quoted there, and a test
// compares. In: made-up pixels and features. Out: the claims that the text makes about them.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <swav/swav.hpp>
#include <vector>

#ifdef SWAV_TEST_ONEDNN
#include <swav/backend/eigen/onednn_product.hpp>
#endif

using swav::Index;

TEST_CASE("README: crops of an image in memory") {
  const Index height = 60, width = 80;
  const std::uint64_t seed = 1, epoch = 0, index = 42;
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(height * width * 3));
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 7);

  // [crops]
  swav::MultiCropSampler crops{{{.count = 2, .size = 224, .scale = {0.14, 1.0}},    // SwAV's multi-crop: two large
                                {.count = 6, .size = 96, .scale = {0.05, 0.14}}}};  // views and six small ones
  std::vector<std::vector<float>> views;
  std::vector<float*> outputs;  // one channels x size x size plane set a view
  for (swav::Index v = 0; v < crops.views(); ++v)
    outputs.push_back(views.emplace_back(3 * crops.view(v).size * crops.view(v).size).data());
  swav::ImageView<std::uint8_t> image{pixels.data(), height, width, 3};  // interleaved RGB
  crops(image, {.seed = seed, .epoch = epoch, .index = index}, outputs);
  // [crops]

  CHECK(crops.views() == 8);
  const std::vector<std::vector<float>> first = views;
  crops(image, {.seed = seed, .epoch = epoch, .index = index}, outputs);
  CHECK(views == first);
}

TEST_CASE("README: an optimiser for the prototypes, and k-NN on features") {
  const Index rows = 64, dimension = 16, prototypes = 10;
  swav::PhiloxStream random(3, 0);
  const swav::RowMatrix<float> z = swav::RowMatrix<float>::NullaryExpr(
      2 * rows, dimension, [&] { return static_cast<float>(random.uniform(-1, 1)); });
  std::vector<int> labels(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int>(i % 4);
  const swav::RowMatrix<float> features = z.topRows(rows);

  double gradient_norm = 0;
  const auto backward = [&](const swav::RowMatrix<float>& gradient) { gradient_norm = gradient.norm(); };

  // [loss]
  swav::PrototypeBank<float> bank(prototypes, dimension, /*seed=*/1);
  swav::SwappedPredictionLoss<float> loss{{.temperature = 0.1, .crops_for_assign = {0, 1}}};
  // z: the network's output, (views x samples) x dimension, all samples of view 0 first; the loss normalises its rows
  swav::SwappedPredictionStep<float> step = loss(z, bank, /*views=*/2);
  backward(step.grad_embeddings);  // dL/dz, where the network's own backward pass takes over
  std::printf("loss %.3f of ln K = %.3f, %td prototypes in use\n", step.value, std::log(prototypes),
              step.prototypes_used);
  // [loss]

  const double from_the_batch = step.value;
  // [queue]
  swav::EmbeddingQueue<float> queue(/*views=*/2, dimension, {.length = 3840});  // before the first step
  step = loss(z, bank, /*views=*/2, {.queue = &queue});                         // used once it is full
  // [queue]
  CHECK(step.value == from_the_batch);
  CHECK(queue.filled() == rows);

  // [optim]
  swav::Sgd<float> sgd({.momentum = 0.9, .weight_decay = 1e-6, .larc = swav::LarcOptions{}},
                       {{.value = {bank.weights().data, bank.weights().size()},  // the network's tensors likewise
                         .gradient = {step.grad_prototypes.data(), step.grad_prototypes.size()},
                         .name = "prototypes",
                         .frozen_steps = 313}});
  sgd.step(/*learning_rate=*/0.6);
  bank.normalize();  // SwAV keeps prototypes on the unit sphere
  // [optim]

  const swav::RowMatrix<float>&train_features = features, &test_features = features;
  const std::vector<int>&train_labels = labels, &test_labels = labels;
  // [knn]
  double knn =
      swav::KnnClassifier<float>{{.neighbors = 1}}.accuracy(train_features, train_labels, test_features, test_labels);
  double linear = swav::LinearProbe<float>{}.accuracy(train_features, train_labels, test_features, test_labels);
  // [knn]

  CHECK(gradient_norm > 0);
  CHECK(knn == 1.0);
  CHECK(linear > 0.25);
}

#ifdef SWAV_TEST_ONEDNN
TEST_CASE("docs/backends.md: the product hook") {
  const swav::RowMatrix<float> z = swav::RowMatrix<float>::Random(16, 128);
  // [hook]
  using Device = swav::BasicEigenDevice<swav::OneDnnProduct>;
  swav::PrototypeBank<float, Device> bank(3000, 128, /*seed=*/1);
  swav::SwappedPredictionLoss<float, Device> loss;
  // [hook]
  CHECK(loss.value(z, bank, 2) > 0);
}
#endif
