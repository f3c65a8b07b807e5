// Whole runs in one process: the record they leave, resuming bit for bit, seeds, and checkpoints that do not fit.
#include "train/run.hpp"

#include <doctest/doctest.h>

#include "run_checks.hpp"
#include "support.hpp"
#include "swav/core/error.hpp"
#include "swav/io/safetensors.hpp"
#include "train/checkpoint.hpp"
#include "train/command_line.hpp"
#include "train/metrics.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void check_same_metrics(const std::filesystem::path& a, const std::filesystem::path& b) {
  const MetricsHistory left = read_metrics(a / "metrics.jsonl"), right = read_metrics(b / "metrics.jsonl");
  REQUIRE(left.steps.size() == right.steps.size());
  for (std::size_t i = 0; i < left.steps.size(); ++i) {
    CHECK(left.steps[i].step == right.steps[i].step);
    CHECK(left.steps[i].loss == right.steps[i].loss);
    CHECK(left.steps[i].learning_rate == right.steps[i].learning_rate);
  }
}

}  // namespace

TEST_CASE("a run leaves a checkpoint, metrics and a report; the same seed gives the same, another another") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  TrainOptions options = tiny_options(folder / "data", folder / "a");
  options.eval_interval = 1;
  REQUIRE(run_training(options) == 0);
  const MetricsHistory history = read_metrics(folder / "a" / "metrics.jsonl");
  CHECK(history.steps.size() == 18);
  CHECK(history.steps.back().epoch == 3);
  CHECK(history.evaluations.size() == 3);
  CHECK(history.steps.back().loss < history.steps.front().loss);

  const std::string report = read_text(folder / "a" / "report.html");
  for (const char* part : {"SwAV on Fashion-MNIST", "ln K = 2.485", "k-NN", "linear", "Images of each prototype",
                           "Crops", "Prototypes", "data:image/png;base64,", "</html>", "prefers-color-scheme: dark"})
    CHECK_MESSAGE(has(report, part), part);
  for (const char* outside : {"http://", "https://", "src=\"/", "<script src", "<link", "@import", "nan"})
    CHECK_MESSAGE(!has(report, outside), outside);

  // Evaluating in between changes nothing.
  options.output = (folder / "b").string();
  options.eval_interval = 0;
  options.evaluate = false;
  REQUIRE(run_training(options) == 0);
  CHECK(same_state(folder / "a", folder / "b"));
  check_same_metrics(folder / "a", folder / "b");
  CHECK_FALSE(std::filesystem::exists(folder / "b" / "report.html"));

  options.output = (folder / "c").string();
  options.seed = 1;
  REQUIRE(run_training(options) == 0);
  CHECK_FALSE(same_state(folder / "b", folder / "c"));
}

TEST_CASE("a run that was stopped anywhere and resumed equals one that was not") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  for (const char* optimizer : {"adamw", "sgd"}) {
    TrainOptions options = tiny_options(folder / "data", folder / (std::string("whole-") + optimizer));
    options.evaluate = false;
    options.optimizer = optimizer;
    options.larc = options.optimizer == "sgd";
    REQUIRE(run_training(options) == 0);
    // In frozen steps, inside an epoch, at its end.
    for (const int stop : {2, 9, 12}) {
      TrainOptions part = options;
      part.output = (folder / (std::string(optimizer) + std::to_string(stop))).string();
      part.max_steps = stop;
      REQUIRE(run_training(part) == 0);
      part.max_steps = 0;
      part.resume = true;
      REQUIRE(run_training(part) == 0);
      CHECK(same_state(options.output, part.output));
      check_same_metrics(options.output, part.output);
    }
  }
}

TEST_CASE("resuming takes the run's settings from its checkpoint and refuses others") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  const std::string output = (folder / "run").string();
  TrainOptions options = tiny_options(folder / "data", output);
  options.evaluate = false;
  options.max_steps = 5;
  REQUIRE(run_training(options) == 0);
  CHECK_THROWS_AS(run_training(options), InvalidInput);  // it would replace the run

  const auto parse = [&](std::vector<const char*> more) {
    std::vector<const char*> arguments{"swav-train", "--resume", "--output", output.c_str()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return parse_command_line(static_cast<int>(arguments.size()), arguments.data()).options;
  };
  CHECK(parse({}).batch_size == 16);
  CHECK(parse({}).data_dir == options.data_dir);
  CHECK(parse({}).max_steps == 0);  // what ended the run early does not end it again
  CHECK(parse({}).evaluate);
  CHECK(parse({"--max-steps", "7"}).max_steps == 7);
  CHECK_FALSE(parse({"--no-evaluate"}).evaluate);
  CHECK(parse({"--checkpoint-interval", "9"}).checkpoint_interval == 9);
  CHECK(parse({"--batch-size", "16"}).batch_size == 16);
  CHECK_THROWS_WITH_AS((void)parse({"--batch-size", "32"}),
                       "--resume: --batch-size 32 found, 16 wanted, as the run to resume was started with",
                       InvalidInput);
  CHECK_THROWS_AS((void)parse({"--preset", "cifar10"}), InvalidInput);
  CHECK_THROWS_AS((void)parse({"--seed", "3"}), InvalidInput);
}

TEST_CASE("a run goes on in the precision it was started in, whatever the CPU would choose") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  TrainOptions options = tiny_options(folder / "data", folder / "run");
  REQUIRE(options.precision == "auto");
  options.evaluate = false;
  options.max_steps = 1;
  REQUIRE(run_training(options) == 0);
  const std::string precision = read_checkpoint_options(folder / "run").precision;
  CHECK(precision == (resolve_precision("auto") == Precision::bfloat16 ? "bfloat16" : "float32"));
}

TEST_CASE("without any epoch the untrained network is evaluated") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  TrainOptions options = tiny_options(folder / "data", folder / "run");
  options.epochs = 0;
  REQUIRE(run_training(options) == 0);
  const MetricsHistory history = read_metrics(folder / "run" / "metrics.jsonl");
  CHECK(history.steps.empty());
  REQUIRE(history.evaluations.size() == 1);
  CHECK(history.evaluations[0].knn_accuracy > 0);
  CHECK(has(read_text(folder / "run" / "report.html"), "nothing recorded"));
}

TEST_CASE("a lost metrics file is told once, and does not keep a run from going on") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  TrainOptions options = tiny_options(folder / "data", folder / "run");
  options.max_steps = 7;
  options.evaluate = false;
  REQUIRE(run_training(options) == 0);
  std::filesystem::remove(folder / "run" / "metrics.jsonl");
  options.resume = true;
  options.evaluate = true;
  for (const int steps : {9, 18}) {
    options.max_steps = steps;
    REQUIRE(run_training(options) == 0);
    const MetricsHistory history = read_metrics(folder / "run" / "metrics.jsonl");
    CHECK(history.steps.front().step == 8);
    REQUIRE(history.warnings.size() == 1);
    CHECK(has(history.warnings[0].text, "metrics.jsonl is missing"));
  }
}

TEST_CASE("checkpoints that are damaged, foreign or of another network are refused by name") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  TrainOptions options = tiny_options(folder / "data", folder / "run");
  options.evaluate = false;
  options.max_steps = 2;
  REQUIRE(run_training(options) == 0);
  const std::filesystem::path path = checkpoint_path(folder / "run");
  const Bytes good = read_bytes(path);
  options.resume = true;
  options.max_steps = 4;

  SUBCASE("truncated") {
    for (const std::size_t length : {std::size_t{0}, std::size_t{7}, std::size_t{100}, good.size() - 1}) {
      write_bytes(path, Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)));
      CHECK_THROWS_AS(run_training(options), FileError);
      CHECK_THROWS_AS((void)read_checkpoint_options(folder / "run"), FileError);
    }
  }
  SUBCASE("oversized") {
    Bytes longer = good;
    longer.push_back(0);
    write_bytes(path, longer);
    CHECK_THROWS_AS(run_training(options), FileError);
  }
  SUBCASE("of another program") {
    const std::vector<float> value{1};
    const std::vector<StoredTensor> tensors{stored_tensor<float>("x", {1}, value)};
    write_safetensors(path.string(), tensors);
    CHECK_THROWS_AS(run_training(options), FileError);
    CHECK_THROWS_AS((void)read_checkpoint_options(folder / "run"), FileError);
    write_safetensors(path.string(), tensors, {{"swav_train", "{\"options\":3,\"step\":\"x\"}"}});
    CHECK_THROWS_AS(run_training(options), FileError);
    CHECK_THROWS_AS((void)read_checkpoint_options(folder / "run"), FileError);
  }
  SUBCASE("of another network") {
    options.width = 32;
    CHECK_THROWS_AS(run_training(options), FileError);
  }
}

TEST_CASE("a folder in a checkpoint's place is no run, and is left alone") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  TrainOptions options = tiny_options(folder / "data", folder / "run");
  std::filesystem::create_directories(checkpoint_path(folder / "run"));
  CHECK_FALSE(has_checkpoint(folder / "run"));
  options.overwrite = true;
  CHECK_THROWS_AS(run_training(options), FileError);
  CHECK(std::filesystem::is_directory(checkpoint_path(folder / "run")));
}

TEST_CASE("settings that the data cannot meet are named") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  TrainOptions options = tiny_options(folder / "data", folder / "run");
  options.batch_size = 97;
  CHECK_THROWS_WITH_AS(run_training(options), "--batch-size: 97 found, 96 (the number of images) or fewer wanted",
                       InvalidInput);
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
  options = tiny_options(folder / "nowhere", folder / "run");
  CHECK_THROWS_AS(run_training(options), FileError);
  options = tiny_options(folder / "data", folder / "data" / "t10k-labels-idx1-ubyte");
  CHECK_THROWS_AS(run_training(options), FileError);
}

TEST_CASE("training that diverges ends with advice") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  TrainOptions options = tiny_options(folder / "data", folder / "run");
  options.optimizer = "sgd";
  options.start_learning_rate = options.learning_rate = 1e30;
  try {
    (void)run_training(options);
    FAIL("no error");
  } catch (const InvalidInput& error) {
    CHECK(has(error.what(), "lower --lr"));
  }
}
