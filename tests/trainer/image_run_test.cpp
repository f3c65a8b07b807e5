// Whole runs on image files: from folders and shards, with and without classes, with workers, resumed, with bad files.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "image_files.hpp"
#include "run_checks.hpp"
#include "support.hpp"
#include "swav/core/error.hpp"
#include "swav/io/file_error.hpp"
#include "swav/io/safetensors.hpp"
#include "train/checkpoint.hpp"
#include "train/command_line.hpp"
#include "train/evaluation.hpp"
#include "train/learner.hpp"
#include "train/metrics.hpp"
#include "train/run.hpp"
#include "train/run_folder.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// 40 images, 5 steps of 8 an epoch, 10 in all.
TrainOptions folder_options(const std::filesystem::path& data, const std::filesystem::path& output) {
  TrainOptions o = tiny_options(data, output);
  o.data = "imagefolder";
  o.batch_size = 8;
  o.epochs = 2;
  o.workers = 2;
  return o;
}

}  // namespace

TEST_CASE("a run on class folders trains, evaluates and reports, the same with workers and without") {
  const TemporaryFolder folder;
  write_class_folders(folder / "data" / "train", 40, 3);
  write_class_folders(folder / "data" / "val", 12, 3, 40);
  TrainOptions options = folder_options(folder / "data", folder / "a");
  REQUIRE(run_training(options) == 0);
  const MetricsHistory history = read_metrics(folder / "a" / "metrics.jsonl");
  CHECK(history.steps.size() == 10);
  CHECK(history.warnings.size() == 1);  // fewer images a step than prototypes
  REQUIRE(history.evaluations.size() == 1);
  // The classes are colours.
  CHECK(history.evaluations[0].knn_accuracy > 0.8);
  for (const StepRecord& r : history.steps) CHECK((r.data_seconds >= 0 && r.data_seconds <= r.seconds));
  const std::string report = read_text(folder / "a" / "report.html");
  for (const char* part : {"SwAV on data", "k-NN", "waiting for data", "Waiting for data", "resized to 18", "<b>a</b>"})
    CHECK_MESSAGE(has(report, part), part);

  options.output = (folder / "b").string();
  options.workers = 0;
  options.cache_mib = 0;
  REQUIRE(run_training(options) == 0);
  CHECK(same_state(folder / "a", folder / "b"));
  CHECK(read_metrics(folder / "b" / "metrics.jsonl").evaluations[0].knn_accuracy ==
        history.evaluations[0].knn_accuracy);
}

TEST_CASE("a run on image files that was stopped and resumed equals one that was not, bad files included") {
  const TemporaryFolder folder;
  write_class_folders(folder / "data", 40, 3);
  write_bytes(folder / "data" / "a" / small_file_name(3), {});
  write_bytes(folder / "data" / "c" / small_file_name(2), bytes_of("no image"));
  TrainOptions options = folder_options(folder / "data", folder / "whole");
  options.max_bad_share = 0.05;
  options.evaluate = false;
  REQUIRE(run_training(options) == 0);
  for (const int stop : {1, 5, 7}) {
    TrainOptions part = options;
    part.output = (folder / std::to_string(stop)).string();
    part.max_steps = stop;
    REQUIRE(run_training(part) == 0);
    part.max_steps = 0;
    part.resume = true;
    part.workers = stop % 2;
    REQUIRE(run_training(part) == 0);
    CHECK(same_state(options.output, part.output));
  }

  write_class_folders(folder / "data", 1, 1, 90);
  options.resume = true;
  CHECK_THROWS_WITH_AS(run_training(options),
                       "--data-dir: 41 images found, 40 wanted, as when the checkpoint was written: their order "
                       "depends on it",
                       InvalidInput);
  std::filesystem::remove(folder / "data" / "a" / small_file_name(90));
  // Elsewhere the names are the same.
  std::filesystem::rename(folder / "data", folder / "moved");
  options.data_dir = (folder / "moved").string();
  REQUIRE(run_training(options) == 0);
  std::filesystem::rename(folder / "moved" / "b" / small_file_name(1), folder / "moved" / "b" / "other.png");
  CHECK_THROWS_WITH_AS(run_training(options), doctest::Contains("40 images found of which some have other names"),
                       InvalidInput);
  options.resume = false;

  const auto warnings_of = [&](const std::string& name) {
    return std::ranges::count_if(read_metrics(folder / "whole" / "metrics.jsonl").warnings,
                                 [&](const WarningRecord& w) { return has(w.text, name); });
  };
  CHECK(warnings_of("a/" + small_file_name(3) + ": ") == 1);
  CHECK(warnings_of("c/" + small_file_name(2) + ": ") == 1);

  options.output = (folder / "strict").string();
  options.max_bad_share = 0.025;
  try {
    (void)run_training(options);
    FAIL("no error");
  } catch (const FileError& error) {
    CHECK_MESSAGE(has(error.what(), "2 of 40 images cannot be read"), error.what());
  }
}

TEST_CASE("a checkpoint that knows only the number of its images is gone on from") {
  const TemporaryFolder folder;
  write_class_folders(folder / "data", 40, 3);
  TrainOptions options = folder_options(folder / "data", folder / "run");
  options.evaluate = false;
  options.max_steps = 3;
  REQUIRE(run_training(options) == 0);
  const std::string path = checkpoint_path(folder / "run");
  {
    const SafetensorsFile file(path);
    nlohmann::json record = nlohmann::json::parse(file.metadata("swav_train"));
    CHECK(record.erase("image_names") == 1);
    write_safetensors(path + ".old", file.tensors(), {{"swav_train", record.dump()}});
  }
  std::filesystem::rename(path + ".old", path);
  options.resume = true;
  options.max_steps = 0;
  REQUIRE(run_training(options) == 0);
  CHECK(read_metrics(folder / "run" / "metrics.jsonl").steps.size() == 10);
}

TEST_CASE("names of files and folders that are no UTF-8 stop neither a run nor its resume") {
  const TemporaryFolder folder;
  const std::filesystem::path data = folder / "da\xffta";
  write_class_folders(data, 40, 3);
  write_bytes(data / "a" / "bad\xfe.jpg", bytes_of("no image"));
  TrainOptions options = folder_options(data, folder / "run");
  options.max_bad_share = 0.05;
  options.max_steps = 6;
  REQUIRE(run_training(options) == 0);
  options.max_steps = 0;
  options.resume = true;
  REQUIRE(run_training(options) == 0);
  CHECK(has(resume_command("swav-train", options), " --data-dir '" + data.string() + "'"));
  const std::string output = options.output, data_dir = data.string();
  std::vector<const char*> arguments{"swav-train", "--resume", "--output", output.c_str()};
  CHECK_THROWS_WITH_AS((void)parse_command_line(4, arguments.data()), doctest::Contains("--data-dir wanted once more"),
                       InvalidInput);
  arguments.insert(arguments.end(), {"--data-dir", data_dir.c_str()});
  CHECK(parse_command_line(6, arguments.data()).options.data_dir == data_dir);
  CHECK(std::ranges::any_of(read_metrics(folder / "run" / "metrics.jsonl").warnings, [](const WarningRecord& w) {
    return has(w.text, "da\xef\xbf\xbdta/a/bad\xef\xbf\xbd.jpg: ");
  }));
}

TEST_CASE("images that cannot be read are left out of an evaluation") {
  const TemporaryFolder folder;
  write_class_folders(folder / "train", 12, 3);
  write_class_folders(folder / "val", 6, 3);
  write_bytes(folder / "val" / "b" / small_file_name(1), {});
  const Dataset data = load_image_folder(folder.path(), {.max_bad_share = 0.2});
  const TrainOptions options = folder_options(folder.path(), "");
  Learner learner(options, data.pretraining(), data.normalization);
  const auto features_of = [&](const Dataset& images) {
    return extract_features(learner.network(), learner.precision(), images, evaluation_size(images, options));
  };
  const Features without = features_of(data);
  CHECK(without.training.rows.rows() == 12);
  CHECK(without.test.images == std::vector<Index>{0, 1, 3, 4, 5});
  CHECK(without.test.labels == std::vector<int>{0, 0, 1, 2, 2});
  REQUIRE(without.test.rows.rows() == 5);
  CHECK(data.test->take_problems().size() == 1);

  write_bytes(folder / "val" / "b" / small_file_name(1), small_file(1, 1));
  const Features all = features_of(load_image_folder(folder.path(), {}));
  REQUIRE(all.test.rows.rows() == 6);
  for (std::size_t r = 0; r < 5; ++r)
    CHECK(without.test.rows.row(static_cast<Index>(r)) == all.test.rows.row(without.test.images[r]));
}

TEST_CASE("bad files that the last evaluation meets are named, and the run goes on from there once they are mended") {
  const TemporaryFolder folder;
  write_class_folders(folder / "data" / "train", 40, 3);
  write_class_folders(folder / "data" / "val", 12, 3);
  for (const int bad : {1, 4}) write_bytes(folder / "data" / "val" / "b" / small_file_name(bad), {});
  TrainOptions options = folder_options(folder / "data", folder / "run");
  options.max_bad_share = 0.1;
  CHECK_THROWS_WITH_AS(run_training(options), doctest::Contains("val: 2 of 12 images cannot be read"), FileError);
  const auto history = [&] { return read_metrics(folder / "run" / "metrics.jsonl"); };
  const auto is_named = [&](int bad) {
    return std::ranges::count_if(history().warnings, [&](const WarningRecord& warning) {
             return has(warning.text, "val/b/" + small_file_name(bad) + ": empty");
           }) == 1;
  };
  CHECK(is_named(1));
  CHECK(is_named(4));
  CHECK(history().steps.size() == 10);
  CHECK(history().evaluations.empty());

  options.resume = true;
  write_bytes(folder / "data" / "val" / "b" / small_file_name(1), small_file(1, 1));
  REQUIRE(run_training(options) == 0);
  CHECK(history().steps.size() == 10);
  CHECK(history().evaluations.size() == 1);
  CHECK(has(read_text(folder / "run" / "report.html"),
            "learned from all 40 training images, measured on 11 of 12 test images"));
}

TEST_CASE("where no accuracy can be measured a run says why, and ends with its report") {
  const TemporaryFolder folder;
  write_class_folders(folder / "data" / "train", 19, 3);
  write_class_folders(folder / "data" / "val", 3, 3);
  TrainOptions options = folder_options(folder / "data", folder / "few");
  options.eval_interval = 1;
  REQUIRE(run_training(options) == 0);
  CHECK(read_metrics(folder / "few" / "metrics.jsonl").evaluations.empty());
  CHECK(has(read_text(folder / "few" / "report.html"), "Images of each prototype"));

  // What is known only when they are read.
  write_class_folders(folder / "data" / "train", 3, 3, 19);
  for (int i = 0; i < 3; ++i)
    write_bytes(folder / "data" / "val" / std::string(1, static_cast<char>('a' + i)) / small_file_name(i), {});
  options.output = (folder / "unread").string();
  options.max_bad_share = 1;
  REQUIRE(run_training(options) == 0);
  const MetricsHistory history = read_metrics(folder / "unread" / "metrics.jsonl");
  CHECK(history.evaluations.empty());
  CHECK(std::ranges::count_if(history.warnings, [](const WarningRecord& w) {
          return has(w.text, "no accuracies: no test image that can be read found");
        }) == 1);
  CHECK(has(read_text(folder / "unread" / "report.html"), "no accuracies: no test image"));

  const Dataset data = load_image_folder(folder / "data", {});
  CHECK(why_no_accuracies(data, {.training = 20, .test = 1}) == "");
  CHECK(why_no_accuracies(data, {.training = 19, .test = 1}) ==
        "19 training images that can be read found, 20 or more wanted");
  const Dataset flat = load_image_folder(folder / "data" / "val", {});
  CHECK(why_no_accuracies(flat, image_counts(flat)) == "they need training and test images with classes");
}

TEST_CASE("a report is written even where no training image of the evaluation can be read") {
  const TemporaryFolder folder;
  write_class_folders(folder / "train", 4, 2);
  std::filesystem::create_directories(folder / "unlabeled");
  for (int i = 0; i < 16; ++i) write_bytes(folder / "unlabeled" / small_file_name(i), small_file(i, i));
  for (int i = 0; i < 4; ++i) write_bytes(folder / "train" / (i % 2 == 0 ? "a" : "b") / small_file_name(i), {});
  TrainOptions options = folder_options(folder.path(), folder / "run");
  options.max_bad_share = 1;
  REQUIRE(run_training(options) == 0);
  CHECK(has(read_text(folder / "run" / "report.html"), "0 of 12</b><span>prototypes used"));
}

TEST_CASE("a run on tar shards equals one on the same files, bit for bit") {
  const TemporaryFolder folder;
  Bytes shard;
  for (int i = 0; i < 40; ++i) {
    std::filesystem::create_directories(folder / "loose");
    write_bytes(folder / "loose" / small_file_name(i), small_file(i, i % 3));
    shard = shard + tar_member(small_file_name(i), small_file(i, i % 3));
    if (i % 15 != 14 && i != 39) continue;
    std::filesystem::create_directories(folder / "packed");
    write_bytes(folder / "packed" / (std::to_string(i) + ".tar"), shard);
    shard.clear();
  }
  for (const char* kind : {"loose", "packed"}) {
    TrainOptions options = folder_options(folder / kind, folder / (std::string(kind) + "-run"));
    REQUIRE(run_training(options) == 0);
    // Without classes there is a report, but no accuracy.
    CHECK(read_metrics(folder / (std::string(kind) + "-run") / "metrics.jsonl").evaluations.empty());
    const std::string report = read_text(folder / (std::string(kind) + "-run") / "report.html");
    CHECK(has(report, "data:image/png;base64,"));
    CHECK_FALSE(has(report, "no class"));
    CHECK_FALSE(has(report, "k-NN"));
  }
  CHECK(same_state(folder / "loose-run", folder / "packed-run"));
}
