// DeepCluster-v2 and SeLa-v2: targets of images from embeddings stored over an epoch. In: embeddings of known clusters,
// tiny data. Out: checks of the targets and of what a learner makes of them.
#include <doctest/doctest.h>

#include <algorithm>

#include "data/dataset.hpp"
#include "support.hpp"
#include "swav/core/philox.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"
#include "train/image_targets.hpp"
#include "train/learner.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

constexpr Index batch = 8, batches = 5, stored = batch * batches, images = 43, views = 3;

TrainOptions target_options(const char* objective) {
  TrainOptions o = tiny_options("", "");
  o.objective = objective;
  o.batch_size = batch;
  o.embedding = 6;
  o.heads = {4, 3};
  o.crops_for_assign = {1, 0};
  return o;
}

/// Image i of view v points along axis (i + v) mod 4, nearly.
RowMatrix<float> embeddings_of(std::span<const Index> numbers) {
  RowMatrix<float> z(views * batch, 6);
  for (Index v = 0; v < views; ++v)
    for (Index b = 0; b < batch; ++b) {
      const Index image = numbers[static_cast<std::size_t>(b)];
      PhiloxStream random(5, static_cast<std::uint64_t>(views * image + v));
      for (Index d = 0; d < 6; ++d) z(v * batch + b, d) = static_cast<float>(random.uniform(-0.05, 0.05));
      z(v * batch + b, (image + v) % 4) += 2;
    }
  return z;
}

/// Images 42, 41, ... in batches; the first three of all are left out.
struct Epoch {
  explicit Epoch(ImageTargets& targets) {
    for (Index i = 0; i < stored; ++i) order.push_back(images - 1 - i);
    for (Index first = 0; first < stored; first += batch)
      targets.store(first, numbers(first), embeddings_of(numbers(first)));
  }
  [[nodiscard]] std::span<const Index> numbers(Index first) const {
    return std::span<const Index>(order).subspan(static_cast<std::size_t>(first), batch);
  }
  std::vector<Index> order;
};

Index target(const RowMatrix<float>& codes, Index row) {
  CHECK(codes.row(row).sum() == 1);
  CHECK(codes.row(row).maxCoeff() == 1);
  Index place = 0;
  codes.row(row).maxCoeff(&place);
  return place;
}

}  // namespace

TEST_CASE("deepcluster-v2: images of a cluster share their target, whose prototype is the cluster's centre") {
  const TrainOptions o = target_options("deepcluster-v2");
  ImageTargets targets(o, images, stored);
  Bank bank({4, 3}, 6, 1, LossDevice(1));
  const Epoch epoch(targets);
  targets.assign(0, bank);
  for (const Index first : {0, 16}) {
    const auto& codes = targets.codes(epoch.numbers(first), embeddings_of(epoch.numbers(first)), bank);
    CHECK(codes.of_samples);
    CHECK(codes.samples == batch);
    for (Index b = 0; b < batch; ++b) {
      const Index image = epoch.numbers(first)[static_cast<std::size_t>(b)];
      const MatrixView<const float> c = bank.weights();
      CHECK(c(target(codes.heads[0], b), (image + 1) % 4) > 0.99f);  // head 0: view 1, four clusters
      CHECK(c(4 + target(codes.heads[1], b), image % 4) > 0.3f);     // head 1: view 0, two axes share a centre
      CHECK(target(codes.heads[0], b) == target(codes.heads[0], (b + 4) % batch));
    }
  }
  // Of images that the epoch left out: the prototype nearest to what they are now.
  const std::vector<Index> left_out{0, 1, 2, 0, 1, 2, 0, 1};
  const auto& codes = targets.codes(left_out, embeddings_of(left_out), bank);
  for (Index b = 0; b < batch; ++b)
    CHECK(bank.weights()(target(codes.heads[0], b), (left_out[static_cast<std::size_t>(b)] + 1) % 4) > 0.99f);
}

TEST_CASE("sela-v2: targets are the arg max of the codes of all images at once, by prototypes that stay") {
  const TrainOptions o = target_options("sela-v2");
  ImageTargets targets(o, images, stored);
  Bank bank({4, 3}, 6, 1, LossDevice(1));
  const RowMatrix<float> before = swav::detail::as_eigen(std::as_const(bank).weights());
  const Epoch epoch(targets);
  targets.assign(0, bank);
  CHECK(before == swav::detail::as_eigen(std::as_const(bank).weights()));
  for (const Index head : {0, 1}) {
    const Index view = o.crops_for_assign[static_cast<std::size_t>(head)];
    RowMatrix<double> z(stored, 6);
    for (Index first = 0; first < stored; first += batch)
      z.middleRows(first, batch) =
          embeddings_of(epoch.numbers(first)).middleRows(view * batch, batch).rowwise().normalized().cast<double>();
    const RowMatrix<double> c = before.middleRows(head == 0 ? 0 : 4, head == 0 ? 4 : 3).cast<double>();
    const RowMatrix<double> wanted =
        Sinkhorn<double>({.epsilon = o.epsilon}).codes(RowMatrix<double>(z * c.transpose()));
    for (Index first = 0; first < stored; first += batch) {
      const auto& codes = targets.codes(epoch.numbers(first), embeddings_of(epoch.numbers(first)), bank);
      for (Index b = 0; b < batch; ++b) {
        Index place = 0;
        wanted.row(first + b).maxCoeff(&place);
        CHECK(target(codes.heads[static_cast<std::size_t>(head)], b) == place);
      }
    }
  }
}

TEST_CASE("a learner clusters at each epoch's start; only sela-v2 learns its prototypes") {
  ImageSet set(28, 28, 1);
  set.pixels.resize(96 * 28 * 28);
  PhiloxStream random(3, 0);
  for (std::uint8_t& pixel : set.pixels) pixel = static_cast<std::uint8_t>(random.below(256));
  for (const std::string objective : {"deepcluster-v2", "sela-v2"}) {
    CAPTURE(objective);
    TrainOptions o = tiny_options("", "");
    o.objective = objective;
    o.freeze_prototypes = 0;
    Learner learner(o, set, Normalization{});
    const auto prototypes = [&] { return RowMatrix<float>(swav::detail::as_eigen(learner.prototypes())); };
    const RowMatrix<float> initial = prototypes();
    std::vector<RowMatrix<float>> after;
    double first_loss = 0, last_loss = 0;
    for (Index step = 0; step < 18; ++step) {
      const StepMetrics metrics = learner.step();
      CHECK(metrics.code_entropy == 0);
      CHECK(metrics.prototypes_used >= 1);
      if (step < 6) first_loss += metrics.loss;
      if (step >= 12) last_loss += metrics.loss;
      after.push_back(prototypes());
    }
    // The first step's rate is 0: what has moved then was clustered.
    CHECK(((after[0] - initial).cwiseAbs().maxCoeff() > 1e-3f) == (objective == "deepcluster-v2"));
    for (const std::size_t epoch : {0, 6, 12}) {
      const float moved = (after[epoch + 5] - after[epoch]).cwiseAbs().maxCoeff();
      if (objective == "deepcluster-v2")
        CHECK(moved <= 1e-6f);  // rows are normalised again
      else
        CHECK(moved > 1e-4f);
    }
    if (objective == "deepcluster-v2") CHECK((after[6] - after[5]).cwiseAbs().maxCoeff() > 1e-3f);
    CHECK(std::isfinite(last_loss));
    CHECK(last_loss < first_loss);
  }
}

TEST_CASE("more prototypes than images are a named error") {
  const TrainOptions o = target_options("sela-v2");
  CHECK_THROWS_WITH_AS(
      ImageTargets(o, images, 3),
      "--objective: 4 prototypes found, 3 (the images of an epoch's steps) or fewer wanted for sela-v2", InvalidInput);
}
