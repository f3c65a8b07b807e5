// Learners on a GPU, which on a machine without one is emulated, against learners on the CPU. In: tiny data. Out:
// checks of losses, states, features and refusals.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "cuda_planes.hpp"
#include "data/dataset.hpp"
#include "eval/command_line.hpp"
#include "eval/session.hpp"
#include "image_files.hpp"
// NCCL is emulated over MPI.
#if defined(SWAV_MPIEXEC) || !defined(SWAV_CUDA_EMULATED)
#define SWAV_TEST_RANKS
#include "rank_checks.hpp"
#include "train/launch.hpp"
#endif
#include "run_checks.hpp"
#include "support.hpp"
#include "swav/core/error.hpp"
#include "swav/core/philox.hpp"
#include "train/evaluation.hpp"
#include "train/learner.hpp"
#include "train/metrics.hpp"
#include "train/run.hpp"
#ifdef SWAV_CUDA_EMULATED
#include "cudnn.h"
#ifdef SWAV_TEST_RANKS
#include "nccl.h"
#endif
#endif

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

TrainOptions small_options() {
  TrainOptions o = tiny_options("", "");
  o.width = 8;
  o.large_size = 10;
  o.batch_size = 6;
  o.freeze_prototypes = 1;
  o.precision = "float32";
  o.learning_rate = 0.05;  // steps stay small, and so does what rounding grows to
  return o;
}

TrainOptions on_gpu(TrainOptions options) {
  options.device = "cuda";
  return options;
}

using Change = std::function<void(TrainOptions&)>;

void check_crops(const TrainOptions& options, const ImageSource& images) {
  TrainOptions o = options;
  o.precision = "float32";
  Learner cpu(o, images, Normalization{});
  o.precision = options.precision;
  Learner gpu(on_gpu(o), images, Normalization{});
  CHECK(cpu.gpu_bytes() == 0);
  CHECK(gpu.gpu_bytes() > gpu.network().activation_bytes());
  for (int step = 0; step < 3; ++step) {  // the third reuses the memory of the first
    CAPTURE(step);
    const StepMetrics wanted_metrics = cpu.step(), found_metrics = gpu.step();
    if (o.precision == "float32") CHECK(found_metrics.loss == doctest::Approx(wanted_metrics.loss).epsilon(1e-4));
    for (std::size_t group = 0; group < 2; ++group) {
      const std::span<const float> wanted = cpu.network().input(group);
      const std::vector<float> found =
          planes_on_gpu(gpu.network().images(group), images.channels(), group == 0 ? o.large_size : o.small_size);
      REQUIRE(found.size() == wanted.size());
      const float rounding = o.precision == "bfloat16" ? 1.0f / 256 : 0.0f;
      float worst = 0;
      for (std::size_t i = 0; i < found.size(); ++i)
        worst = std::max(worst, std::abs(found[i] - wanted[i]) - rounding * std::abs(wanted[i]));
      CHECK(worst <= 2e-5f);
    }
  }
}

/// swav-eval's features are the CPU's.
void check_evaluation(const std::string& run) {
  SessionOptions o{.checkpoint = run, .precision = "float32", .threads = 1};
  Session cpu(o);
  o.device = "cuda";
  Session gpu(o);
  CHECK(gpu.network().processor() == Processor::cuda);
  const Features wanted = cpu.labelled_features(), found = gpu.labelled_features();
  CHECK(found.test.labels == wanted.test.labels);
  CHECK((found.test.rows - wanted.test.rows).cwiseAbs().maxCoeff() < 1e-4 * wanted.test.rows.cwiseAbs().maxCoeff());
  const char* const knn[] = {"swav-eval", "knn", run.c_str(), "--device", "cuda", "--threads", "1"};
  parse_eval_command_line(7, knn).run();
}

}  // namespace

// First: the trainer's device is made once.
#ifdef SWAV_CUDA_EMULATED
TEST_CASE("without a GPU a learner says so") {
  const ImageSet images = noise(24, 20);
  emulation::devices = 0;
  try {
    Learner learner(on_gpu(small_options()), images, Normalization{});
    FAIL("no exception");
  } catch (const std::exception& error) {
    CHECK(std::string(error.what()) ==
          "--device cuda: no GPU to work on: cudaStreamCreate: no CUDA-capable device is detected");
  }
  emulation::devices = 1;
}

TEST_CASE("too little memory on the GPU is one line that says what to do") {
  const ImageSet images = noise(24, 20);
  TrainOptions o = on_gpu(small_options());
  o.batch_size = 24;
  emulation::free_bytes = std::size_t{1} << 20;
  try {
    Learner learner(o, images, Normalization{});
    FAIL("no exception");
  } catch (const std::exception& error) {
    CHECK(std::string(error.what()).find("MiB on the GPU: out of memory; smaller batches") != std::string::npos);
  }
  emulation::free_bytes = ~std::size_t{0};
}
#endif

TEST_CASE("a GPU renders the crops that the CPU does, of a data set in memory and of files of any size") {
  TrainOptions o = small_options();
  o.learning_rate = 1e-3;
  for (const char* precision : {"float32", "bfloat16"}) {
    CAPTURE(std::string(precision));
    o.precision = precision;
    check_crops(o, noise(24, 20));
    const TemporaryFolder folder;
    write_class_folders(folder.path(), 25, 1);  // 4 batches an epoch
    write_bytes(folder / "a" / small_file_name(3), bytes_of("no image"));
    o.workers = o.precision == "float32" ? 0 : 2;
    check_crops(o, *load_image_folder(folder.path(), {.max_bad_share = 1}).training);
    if (o.precision != "float32") continue;
    // Several batches on their way to the GPU before anything waits for it.
    TrainOptions several = o;
    several.width = 16;  // with 8 the CPU takes its time
    several.large_size = 8;
    several.batch_size = 2;
    several.accumulate = 4;
    check_crops(several, *load_image_folder(folder.path(), {.max_bad_share = 1}).training);
  }
#ifdef SWAV_CUDA_EMULATED
  // A data set that does not fit is copied batch by batch.
  o.workers = 0;
  emulation::free_bytes = std::size_t{15} << 20;
  check_crops(o, noise(100, 200));
  emulation::free_bytes = ~std::size_t{0};
#endif
}

TEST_CASE("learners on a GPU learn what those on the CPU do, with every setting") {
  const ImageSet images = noise(24, 20);
  const std::vector<std::pair<const char*, Change>> changes{
      {"plain", [](TrainOptions&) {}},
      {"queue and larc", [](TrainOptions& o) { o.queue_length = 8, o.larc = true, o.learning_rate = 1; }},
      {"lars", [](TrainOptions& o) { o.optimizer = "lars"; }},
      {"adamw", [](TrainOptions& o) { o.optimizer = "adamw", o.learning_rate = 1e-4; }},
      {"batches", [](TrainOptions& o) { o.batch_size = 3, o.accumulate = 2, o.queue_length = 8; }},
      {"softmax codes", [](TrainOptions& o) { o.sinkhorn_iterations = 0; }},
      {"deepcluster-v2",
       [](TrainOptions& o) {
         o.objective = "deepcluster-v2", o.heads = {4, 3};
       }},
      {"sela-v2", [](TrainOptions& o) { o.objective = "sela-v2"; }},
      {"all", [](TrainOptions& o) {
         o.batch_size = 3, o.accumulate = 2, o.queue_length = 8, o.momentum_encoder = 0.9, o.heads = {12, 7};
         o.crops_for_assign = {1}, o.hard_codes = true, o.final_epsilon = 0.02, o.larc = true;
       }}};
  for (const auto& [setting, change] : changes) {
    CAPTURE(std::string(setting));
    TrainOptions o = small_options();
    change(o);
    Learner expected(o, images, Normalization{}), found(on_gpu(o), images, Normalization{});
    for (int step = 0; step < 3; ++step) {
      CAPTURE(step);
      const StepMetrics cpu = expected.step(), gpu = found.step();
      CHECK(gpu.loss == doctest::Approx(cpu.loss).epsilon(1e-4));
      CHECK(gpu.code_entropy == doctest::Approx(cpu.code_entropy).epsilon(1e-3));
      CHECK(gpu.prototypes_used == cpu.prototypes_used);
      CHECK(gpu.feature_spread == doctest::Approx(cpu.feature_spread).epsilon(1e-3));
      CHECK(gpu.learning_rate == cpu.learning_rate);
    }
    CHECK(found.queue_rows() == expected.queue_rows());
    found.download();
    const std::vector<StateTensor> mine = found.state(), all = expected.state();
    REQUIRE(mine.size() == all.size());
    for (std::size_t t = 0; t < all.size(); ++t) {
      CAPTURE(all[t].name);
      REQUIRE(mine[t].name == all[t].name);
      REQUIRE(mine[t].shape == all[t].shape);
      if (all[t].name.find("projection_head.0.bias") != std::string::npos) continue;  // its gradient is rounding alone
      double difference = 0, size = 1e-12;
      for (std::size_t i = 0; i < all[t].value.size(); ++i) {
        difference += std::pow(double(mine[t].value[i]) - double(all[t].value[i]), 2);
        size += std::pow(double(all[t].value[i]), 2);
      }
      // A ReLU that rounding switches moves a gradient by percents where batches are as small as here, and with it what
      // has begun at 0.
      const bool of_gradients = all[t].name.starts_with("optimizer.") || all[t].name.ends_with(".bias");
      CHECK(std::sqrt(difference / size) <= (of_gradients ? 0.05 : 1e-3));
    }
  }
}

TEST_CASE("a learner on a GPU goes on from another's state, bit for bit") {
  const ImageSet images = noise(24, 20);
  TrainOptions o = on_gpu(small_options());
  o.queue_length = 12;
  o.momentum_encoder = 0.9;
  o.precision = "bfloat16";
#ifdef SWAV_CUDA_EMULATED  // on a GPU two timings may choose two algorithms
  o.tune = true;
#endif
  Learner first(o, images, Normalization{}), second(o, images, Normalization{});
#ifdef SWAV_CUDA_EMULATED
  CHECK(emulation::dnn_timings > 0);
#endif
  for (int step = 0; step < 3; ++step) first.step();
  first.download();
  const std::vector<StateTensor> from = first.state(), to = second.state();
  for (std::size_t t = 0; t < from.size(); ++t) std::ranges::copy(from[t].value, to[t].value.begin());
  second.resume_at(first.steps_done(), first.total_steps(), first.queue_rows());
  for (int step = 0; step < 2; ++step) CHECK(first.step().loss == second.step().loss);
  for (Learner* learner : {&first, &second}) learner->download();
  for (std::size_t t = 0; t < from.size(); ++t) {
    CAPTURE(from[t].name);
    CHECK(std::ranges::equal(first.state()[t].value, second.state()[t].value));
  }
}

TEST_CASE("a run on a GPU is evaluated and reported, goes on bit for bit, and goes on on the CPU") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  TrainOptions o = on_gpu(small_options());
  o.data_dir = (folder / "data").string();
  const auto run = [&](const char* output, int steps) {
    o.output = (folder / output).string();
    o.max_steps = steps;
    o.resume = std::filesystem::exists(o.output);
    REQUIRE(run_training(o) == 0);
    return read_metrics(folder / output / "metrics.jsonl");
  };
  const MetricsHistory whole = run("whole", 4);
  CHECK(whole.evaluations.size() == 1);
  CHECK(std::filesystem::exists(folder / "whole" / "report.html"));
  check_evaluation((folder / "whole").string());

  o.evaluate = false;
  run("parts", 2);
  std::filesystem::copy(folder / "parts", folder / "cpu", std::filesystem::copy_options::recursive);
  run("parts", 4);
  CHECK(same_state(folder / "whole", folder / "parts"));
  o.device = "cpu";
  CHECK(run("cpu", 4).steps.back().loss == doctest::Approx(whole.steps.back().loss).epsilon(1e-4));
}

TEST_CASE("bfloat16 on a GPU is near float, and features are those of the CPU") {
  const ImageSet images = noise(24, 20);
  TrainOptions o = small_options();
  Learner exact(o, images, Normalization{});
  o = on_gpu(o);
  o.precision = "auto";
  o.tune = true;
  Learner rounded(o, images, Normalization{});
  CHECK(rounded.precision() == Precision::bfloat16);
  for (int step = 0; step < 2; ++step) CHECK(rounded.step().loss == doctest::Approx(exact.step().loss).epsilon(0.02));

  o.precision = "float32";
  o.tune = false;
  Learner same(o, images, Normalization{}), cpu(small_options(), images, Normalization{});
  const PartFeatures found = extract_part(same.network(), Precision::float32, images, Normalization{}, 20);
  const PartFeatures expected = extract_part(cpu.network(), Precision::float32, images, Normalization{}, 20);
  REQUIRE(found.rows.rows() == expected.rows.rows());
  CHECK((found.rows - expected.rows).cwiseAbs().maxCoeff() < 1e-4 * expected.rows.cwiseAbs().maxCoeff());
}

#ifdef SWAV_TEST_RANKS
// Started as a process for each rank, by mpirun or with torchrun's variables.
TEST_CASE("ranks with a GPU each learn what one learner of whole batches does" * doctest::skip()) {
  const std::unique_ptr<Processes> processes = std::getenv("MASTER_ADDR") ? join_by_torchrun() : join_by_mpi();
  const RankGroup ranks = processes->ranks();
  const ImageSet noisy = noise(24, 20);
  const TemporaryFolder folder;  // each rank's own, of the same files
  write_class_folders(folder.path(), 25, 1);
  write_bytes(folder / "a" / small_file_name(3), bytes_of("no image"));
  const Dataset files = load_image_folder(folder.path(), {.max_bad_share = 1});
#ifdef SWAV_CUDA_EMULATED
  emulation::devices = ranks.size() - 1;
  CHECK_THROWS_WITH_AS(Learner(on_gpu(small_options()), noisy, Normalization{}, ranks),
                       "--device: cuda found with 2 ranks and 1 GPU, one a rank on each machine wanted", InvalidInput);
  emulation::devices = ranks.size();
#endif
  const std::vector<std::pair<const char*, Change>> changes{
      {"queue and larc", [](TrainOptions& o) { o.queue_length = 8, o.larc = true, o.learning_rate = 1; }},
      {"all",
       [](TrainOptions& o) {
         o.accumulate = 2, o.queue_length = 20, o.momentum_encoder = 0.9, o.heads = {12, 7};
         o.crops_for_assign = {1}, o.hard_codes = true, o.final_epsilon = 0.02;
       }},
      {"files", [](TrainOptions& o) { o.workers = 2; }},
      {"unbalanced", [](TrainOptions& o) { o.sinkhorn_iterations = 0; }}};
  for (const auto& [setting, change] : changes) {
    CAPTURE(std::string(setting));
    TrainOptions o = on_gpu(small_options());
    o.batch_size = 6;
    change(o);
    const ImageSource& images = std::string_view(setting) == "files" ? *files.training : noisy;
    Learner part(o, images, Normalization{}, ranks);  // first: it chooses the GPU
    Learner whole(o, images, Normalization{});
    for (int step = 0; step < 3; ++step) {
      CAPTURE(step);
      check_metrics(part.step(), whole.step(), 1e-4);  // cuDNN takes other algorithms for other batches
      for (Learner* learner : {&part, &whole}) learner->download();
      const Values values = values_of(whole);
      check_state(part, values);
      // Goes on from there: what rounding does to a ReLU at its edge is not to add up.
      auto value = values.begin();
      for (StateTensor& tensor : part.state()) std::ranges::copy(*value++, tensor.value.begin());
      part.resume_at(part.steps_done(), part.total_steps(), part.queue_rows());
    }
    CHECK(part.queue_rows() == whole.queue_rows());
  }
#ifdef SWAV_CUDA_EMULATED
  // The last: the group is aborted.
  Learner part(on_gpu(small_options()), noisy, Normalization{}, ranks);
  ncclEmulatedAsyncError = ncclRemoteError;
  CHECK_THROWS_WITH_AS(part.step(), doctest::Contains("of 2 found that another has ended or cannot be reached"),
                       std::exception);
  CHECK(ncclEmulatedAborts == 1);
#endif
}
#endif
