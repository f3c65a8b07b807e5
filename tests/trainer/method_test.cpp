// What a run may add to SwAV's plain step: queue, heads, momentum encoder, schedules, common codes over several
// batches. In: tiny data. Out: checks of each against the same made from parts by hand, and of resuming with each bit
// for bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "data/dataset.hpp"
#include "run_checks.hpp"
#include "support.hpp"
#include "swav/core/error.hpp"
#include "swav/core/philox.hpp"
#include "swav/loss/swapped_prediction.hpp"
#include "train/batches.hpp"
#include "train/checkpoint.hpp"
#include "train/initial_weights.hpp"
#include "train/learner.hpp"
#include "train/loss_device.hpp"
#include "train/metrics.hpp"
#include "train/run.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

/// Plain SGD at a rate that stays, in float: a step is minus the rate times the gradient.
TrainOptions plain_options() {
  TrainOptions o = tiny_options("", "");
  o.precision = "float32";
  o.momentum = o.weight_decay = 0;
  o.warmup_epochs = 0;
  o.learning_rate = o.final_learning_rate = 0.5;
  o.freeze_prototypes = 0;
  return o;
}

using Values = std::vector<float>;

Values values_of(Learner& learner, const std::string& name) {
  for (const StateTensor& tensor : learner.state())
    if (tensor.name == name) return {tensor.value.begin(), tensor.value.end()};
  FAIL("no tensor " << name);
  return {};
}

double difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(double(a[i]) - double(b[i])));
  return largest;
}

/// The parts of a learner's first step, to be put together by hand: its network, bank and batches, made anew.
struct Parts {
  Parts(const TrainOptions& o, const ImageSource& images, const Learner& learner)
      : groups{{Index{o.large_crops} * o.batch_size, o.large_size},
               {Index{o.small_crops} * o.batch_size, o.small_size}},
        network({.depth = o.depth, .width = o.width, .channels = 1, .head_hidden = o.hidden, .embedding = o.embedding},
                groups, Precision::float32, o.seed),
        bank(head_prototypes(o), o.embedding, o.seed, LossDevice(1)),
        loss({.temperature = o.temperature, .sinkhorn = {.epsilon = o.epsilon}}, LossDevice(1)),
        batches(images, learner.crops(), groups,
                {.batch_size = o.batch_size, .seed = o.seed, .multiple = o.accumulate}),
        views(o.large_crops + o.small_crops) {
    bank.normalize();
  }
  MatrixView<const float> forward(Index batch) {
    const std::array<float*, 2> inputs{network.input(0).data(), network.input(1).data()};
    batches.load(batch, inputs);
    return network.forward();
  }
  std::vector<ImageGroup> groups;
  Network network;
  Bank bank;
  SwappedPredictionLoss<float, LossDevice> loss;
  Batches batches;
  Index views;
};

using Change = std::function<void(TrainOptions&)>;

}  // namespace

TEST_CASE("a step over two batches is the mean of both under codes of all, and counts their statistics once") {
  const ImageSet images = noise();
  TrainOptions o = plain_options();
  o.accumulate = 2;
  Learner learner(o, images, Normalization{});
  CHECK(learner.steps_per_epoch() == 3);
  CHECK(learner.total_steps() == 9);
  TrainOptions too_many = o;
  too_many.accumulate = 7;
  CHECK_THROWS_WITH_AS(Learner(too_many, images, Normalization{}),
                       "--accumulate: 7 batches of 16 found, no more images in all than there are, 96, wanted",
                       InvalidInput);
#ifndef SWAV_TEST_WITH_CUDA
  TrainOptions on_gpu = o;
  on_gpu.device = "cuda";
  CHECK_THROWS_WITH_AS(
      Learner(on_gpu, images, Normalization{}),
      "--device: cuda found, which this build is without; cpu, or a build with -DSWAV_WITH_CUDA=ON wanted",
      InvalidInput);
#endif
  Parts parts(o, images, learner);
  const Index samples = o.batch_size;

  RowMatrix<float> pooled(2 * 2 * samples, o.embedding);
  for (Index batch = 0; batch < 2; ++batch) {
    const MatrixView<const float> z = parts.forward(batch);
    for (Index v = 0; v < 2; ++v)
      pooled.middleRows(v * 2 * samples + batch * samples, samples) =
          swav::detail::as_eigen(z.middle_rows(v * samples, samples));
  }
  ViewCodes<float, LossDevice> codes;
  parts.loss.codes_into(pooled, parts.bank, 2 * samples, codes);

  Parts again(o, images, learner);  // whose running statistics have seen nothing
  std::vector<Values> expected;
  for (const NamedTensor& tensor : again.network.tensors())
    expected.emplace_back(tensor.value.begin(), tensor.value.end());
  double loss = 0;
  for (const Index batch : {1, 0}) {
    const auto step =
        again.loss(again.forward(batch), again.bank, again.views, {.codes = &codes, .first_sample = batch * samples});
    loss += step.value / 2;
    again.network.backward(step.grad_embeddings);
    for (std::size_t t = 0; t < expected.size(); ++t)
      for (std::size_t i = 0; i < again.network.tensors()[t].gradient.size(); ++i)
        expected[t][i] -= 0.5f * 0.5f * again.network.tensors()[t].gradient[i];
  }
  CHECK(learner.step().loss == doctest::Approx(loss).epsilon(1e-6));
  for (std::size_t t = 0; t < expected.size(); ++t) {
    const NamedTensor& learned = learner.network().tensors()[t];
    CAPTURE(learned.name);
    if (learned.gradient.empty())
      CHECK(difference(learned.value, again.network.tensors()[t].value) == 0);
    else
      CHECK(difference(learned.value, expected[t]) <= 1e-6);
  }
}

TEST_CASE("codes come from the momentum encoder's view of the large crops, and it follows what learns") {
  const ImageSet images = noise();
  TrainOptions o = plain_options();
  o.momentum_encoder = 0.75;
  Learner learner(o, images, Normalization{});
  Parts parts(o, images, learner);
  const Values first = values_of(learner, "layer1.0.conv1.weight"), first_c = values_of(learner, "prototypes.weight");
  CHECK(values_of(learner, "momentum_encoder.layer1.0.conv1.weight") == first);
  CHECK(values_of(learner, "momentum_encoder.prototypes.weight") == first_c);

  Network encoder(parts.network.architecture(), {parts.groups[0]}, Precision::float32, o.seed, Gradients::none);
  const MatrixView<const float> z = parts.forward(0);
  std::ranges::copy(parts.network.input(0), encoder.input(0).begin());
  const double wanted = parts.loss(z, parts.bank, parts.views, {.embeddings = encoder.forward()}).value;
  CHECK(learner.step().loss == doctest::Approx(wanted).epsilon(1e-6));
  CHECK(std::abs(wanted - parts.loss.value(z, parts.bank, parts.views)) > 1e-4);

  for (const std::string name : {"layer1.0.conv1.weight", "projection_head.3.weight", "prototypes.weight"}) {
    const Values now = values_of(learner, name), slow = values_of(learner, "momentum_encoder." + name);
    Parts start(o, images, learner);
    const Values before = name == "prototypes.weight" ? Values(first_c) : [&] {
      for (const NamedTensor& tensor : start.network.tensors())
        if (tensor.name == name) return Values(tensor.value.begin(), tensor.value.end());
      return Values();
    }();
    REQUIRE(before.size() == now.size());
    CHECK(difference(before, now) > 0);
    for (std::size_t i = 0; i < now.size(); ++i)
      CHECK(std::abs(slow[i] - (0.75f * before[i] + 0.25f * now[i])) <= 1e-6);
  }
  CHECK_THROWS_WITH_AS(encoder.backward({z.data, encoder.rows(), z.cols}),
                       "backward: a network without gradients found, one with wanted", InvalidInput);
}

TEST_CASE("without Sinkhorn iterations a code is a softmax of the view's own scores, batches together or alone") {
  const ImageSet images = noise();
  TrainOptions o = plain_options();
  o.sinkhorn_iterations = 0;
  const auto loss_of = [&](Parts& parts, Index batch) {
    const MatrixView<const float> z = parts.forward(batch);
    const RowMatrix<float> unit = swav::detail::as_eigen(z.middle_rows(0, 2 * o.batch_size)).rowwise().normalized();
    const RowMatrix<float> scores =
        unit * swav::detail::as_eigen(MatrixView<const float>(parts.bank.weights())).transpose();
    const RowMatrix<float> weights = (scores / static_cast<float>(o.epsilon)).array().exp();
    ViewCodes<float, LossDevice> codes{.samples = o.batch_size};
    codes.heads.push_back(weights.array().colwise() / weights.rowwise().sum().array());
    const double loss = parts.loss(z, parts.bank, parts.views, {.codes = &codes}).value;
    CHECK(std::abs(loss - parts.loss.value(z, parts.bank, parts.views)) > 1e-4);
    return loss;
  };
  Learner learner(o, images, Normalization{});
  Parts parts(o, images, learner);
  CHECK(learner.step().loss == doctest::Approx(loss_of(parts, 0)).epsilon(1e-5));

  o.accumulate = 2;
  Learner of_two(o, images, Normalization{});
  Parts again(o, images, of_two);
  CHECK(of_two.step().loss == doctest::Approx((loss_of(again, 0) + loss_of(again, 1)) / 2).epsilon(1e-5));

  o.queue_length = 40;
  CHECK_THROWS_WITH_AS(validate(o), "--queue-length: found with --sinkhorn-iterations 0, 1 or more wanted",
                       InvalidInput);
}

TEST_CASE("a momentum encoder starts from the weights that --init brings") {
  const TemporaryFolder folder;
  const ImageSet images = noise();
  TrainOptions o = plain_options();
  Learner trained(o, images, Normalization{});
  trained.step();
  write_checkpoint(folder.path(), o, trained, {.step = 1, .total_steps = trained.total_steps()});
  o.momentum_encoder = 0.75;
  o.seed = 1;
  Learner learner(o, images, Normalization{});
  (void)take_initial_weights(StoredNetwork(checkpoint_path(folder.path())), learner);
  for (const std::string name : {"layer1.0.conv1.weight", "bn1.running_mean", "prototypes.weight"}) {
    CHECK(values_of(learner, name) == values_of(trained, name));
    CHECK(values_of(learner, "momentum_encoder." + name) == values_of(trained, name));
  }
}

TEST_CASE("the queue fills from its epoch on, and changes codes once it is full") {
  const ImageSet images = noise();
  const TrainOptions without = plain_options();
  TrainOptions with = without;
  with.queue_length = 40;
  with.queue_start_epoch = 1;  // of 6 steps of 16 images
  Learner plain(without, images, Normalization{}), queued(with, images, Normalization{});
  for (Index step = 0; step < 14; ++step) {
    CAPTURE(step);
    CHECK(queued.queue_rows() == 16 * std::max<Index>(0, step - 6));
    const bool equal = plain.step().loss == queued.step().loss;
    if (step < 9) CHECK(equal);  // three batches fill it, and the fourth is stacked on them
    if (step == 9) CHECK_FALSE(equal);
  }
}

TEST_CASE("schedules go from their first to their last value, heads and hard codes do what they say") {
  const ImageSet images = noise();
  TrainOptions scheduled = plain_options();
  scheduled.epochs = 1;
  scheduled.final_temperature = 0.3;
  scheduled.final_epsilon = 0.02;
  TrainOptions constant = scheduled;
  constant.final_temperature = constant.final_epsilon = 0;
  Learner a(scheduled, images, Normalization{}), b(constant, images, Normalization{});
  CHECK(a.step().loss == b.step().loss);
  CHECK(a.step().loss != b.step().loss);

  // At the end: as one that had the last values all along, and the same network.
  TrainOptions last = constant;
  last.temperature = 0.3;
  last.epsilon = 0.02;
  Learner c(scheduled, images, Normalization{}), d(last, images, Normalization{});
  c.resume_at(5, 6, 0);
  d.resume_at(5, 6, 0);
  CHECK(c.step().loss == doctest::Approx(d.step().loss).epsilon(1e-9));

  TrainOptions heads = plain_options();
  heads.heads = {12, 7};
  heads.hard_codes = true;
  Learner e(heads, images, Normalization{});
  CHECK(values_of(e, "prototypes.prototypes0.weight").size() == 12 * 8);
  CHECK(values_of(e, "prototypes.prototypes1.weight").size() == 7 * 8);
  CHECK(values_of(e, "optimizer.prototypes.prototypes1.weight.momentum").size() == 7 * 8);
  CHECK(e.step().code_entropy == 0);
  CHECK(mean_ln_k(heads) == doctest::Approx((std::log(12.0) + std::log(7.0)) / 2));
}

TEST_CASE("with each of them a run that was stopped anywhere and resumed equals one that was not") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  const std::vector<std::pair<const char*, Change>> changes{
      {"queue", [](TrainOptions& o) { o.queue_length = 40, o.queue_start_epoch = 1; }},
      {"heads",
       [](TrainOptions& o) {
         o.heads = {12, 7, 5}, o.optimizer = "lars", o.learning_rate = 20;
       }},
      {"encoder", [](TrainOptions& o) { o.momentum_encoder = 0.9, o.queue_length = 20; }},
      {"schedules", [](TrainOptions& o) { o.final_epsilon = 0.02, o.final_temperature = 0.2, o.hard_codes = true; }},
      {"batches", [](TrainOptions& o) { o.batch_size = 8, o.accumulate = 2, o.queue_length = 20; }},
      {"clusters",
       [](TrainOptions& o) {
         o.objective = "deepcluster-v2", o.heads = {12, 7};
       }},
      {"balanced", [](TrainOptions& o) { o.objective = "sela-v2", o.batch_size = 8, o.accumulate = 2; }},
      {"all", [](TrainOptions& o) {
         o.batch_size = 8, o.accumulate = 2, o.queue_length = 20, o.momentum_encoder = 0.9, o.heads = {12, 7};
         o.final_epsilon = 0.02, o.optimizer = "adamw", o.learning_rate = 0.001;
       }}};
  for (const auto& [name, change] : changes) {
    CAPTURE(name);
    TrainOptions whole = tiny_options(folder / "data", folder / name);
    whole.evaluate = false;
    whole.checkpoint_interval = 0;
    change(whole);
    REQUIRE(run_training(whole) == 0);
    // The queue fills at 8 and is used at 13.
    for (const int stop : std::string(name) == "queue" ? std::vector<int>{8, 13} : std::vector<int>{13}) {
      CAPTURE(stop);
      TrainOptions part = whole;
      part.output = (folder / (std::string(name) + std::to_string(stop))).string();
      part.max_steps = stop;
      REQUIRE(run_training(part) == 0);
      part.max_steps = 0;
      part.resume = true;
      REQUIRE(run_training(part) == 0);
      CHECK(same_state(whole.output, part.output));
      const MetricsHistory left = read_metrics(folder / name / "metrics.jsonl");
      const MetricsHistory right = read_metrics(std::filesystem::path(part.output) / "metrics.jsonl");
      REQUIRE(left.steps.size() == right.steps.size());
      for (std::size_t i = 0; i < left.steps.size(); ++i) CHECK(left.steps[i].loss == right.steps[i].loss);
    }
  }
}
