// Presets and the command line: what each takes, and what it says of what it does not.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "support.hpp"
#include "swav/core/error.hpp"
#include "train/command_line.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

CommandLine parse(const std::vector<std::string>& arguments) {
  std::vector<const char*> pointers{"swav-train"};
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  return parse_command_line(static_cast<int>(pointers.size()), pointers.data());
}

std::string complaint(const std::vector<std::string>& arguments) {
  try {
    (void)parse(arguments);
  } catch (const InvalidInput& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("every preset is valid and survives its record") {
  for (const Preset& known : presets()) {
    const TrainOptions options = preset_options(known.name);
    CHECK(options.preset == known.name);
    CHECK_NOTHROW(validate(options));
    TrainOptions copy;
    from_json(nlohmann::json::parse(to_json(options).dump()), copy);
    CHECK(to_json(copy) == to_json(options));
  }
  CHECK_THROWS_AS((void)preset_options("imagenet"), InvalidInput);
}

TEST_CASE("a record may lack settings that do not decide what is computed, and no others") {
  TrainOptions options;
  options.device = "cuda";
  const nlohmann::json record = to_json(options);
  visit_options(options, [&](const OptionInfo& info, const auto&) {
    nlohmann::json older = record;
    older.erase(record_name(info));
    TrainOptions read;
    if (!info.run_only) {
      CHECK_THROWS_WITH_AS(from_json(older, read), doctest::Contains(record_name(info).c_str()), InvalidInput);
      return;
    }
    CHECK_NOTHROW_MESSAGE(from_json(older, read), info.flag);
    CHECK(read.device == (record_name(info) == "device" ? "cpu" : "cuda"));
  });
}

TEST_CASE("arguments override the preset, whatever their order") {
  const TrainOptions o = parse({"--lr", "0.5", "--preset", "cifar10", "--crops-for-assign", "1", "--large-scale", "0.3",
                                "0.9", "--no-evaluate", "--seed", "7"})
                             .options;
  CHECK(o.preset == "cifar10");
  CHECK(o.depth == 18);
  CHECK(o.learning_rate == 0.5);
  CHECK(o.crops_for_assign == std::vector<int>{1});
  CHECK(parse({"--heads", "30", "20", "--hard-codes"}).options.heads == std::vector<int>{30, 20});
  CHECK(o.large_scale == std::array<double, 2>{0.3, 0.9});
  CHECK_FALSE(o.evaluate);
  CHECK(o.output == "runs/cifar10-seed7");
}

TEST_CASE("the last of equal options counts") {
  const TrainOptions o = parse({"--epochs", "3", "--output", "a", "--preset", "stl10", "--epochs", "4", "--output", "b",
                                "--preset", "cifar10"})
                             .options;
  CHECK(o.epochs == 4);
  CHECK(o.output == "b");
  CHECK(o.preset == "cifar10");
}

TEST_CASE("help lists every option and preset") {
  const std::string help = parse({"--help"}).help;
  TrainOptions options;
  visit_options(options, [&](const OptionInfo& info, const auto&) { CHECK_MESSAGE(has(help, info.flag), info.flag); });
  for (const Preset& known : presets()) CHECK(has(help, known.name));
}

TEST_CASE("errors name the option, what was found and what is wanted") {
  CHECK(has(complaint({"--no-such-thing"}), "no-such-thing"));
  CHECK(has(complaint({"--preset", "imagenet"}), "fashion-mnist-quick"));
  CHECK(has(complaint({"--data", "mnist"}), "--data"));
  CHECK(has(complaint({"--depth", "12"}), "--depth: 12 found, 10, 18, 34 or 50 wanted"));
  for (const char* width : {"-16", "0", "8", "24"})
    CHECK(complaint({"--width", width}) ==
          "--width: " + std::string(width) + " found, a positive multiple of 16 wanted");
  CHECK(complaint({"--width", "48"}).empty());
  CHECK(has(complaint({"--lr", "fast"}), "--lr"));
  CHECK(has(complaint({"--lr", "-1"}), "--lr: -1"));
  CHECK(complaint({"--seed", "-1"}) == "--seed: -1 found, 0 or more wanted");
  CHECK(has(complaint({"--lr", "nan"}), "--lr"));
  CHECK(has(complaint({"--epsilon", "0"}), "--epsilon: 0"));
  CHECK(has(complaint({"--large-scale", "0.9", "0.3"}), "--large-scale"));
  CHECK(has(complaint({"--large-crops", "1"}), "--large-crops: 1"));
  CHECK(has(complaint({"--crops-for-assign", "2"}), "--crops-for-assign: 2"));
  CHECK(complaint({"--crops-for-assign", "0", "0"}) == "--crops-for-assign: 0 found twice, distinct views wanted");
  CHECK(has(complaint({"--batch-size", "1"}), "--batch-size: 1"));
  CHECK(has(complaint({"--decode", "gpu"}), "--decode: gpu found with --device cpu, cuda wanted"));
  CHECK(has(complaint({"--decode", "gpu", "--device", "cuda"}), "--data fashion-mnist, imagefolder wanted"));
  CHECK(has(complaint({"--larc", "--optimizer", "adamw"}), "--larc"));
  CHECK(has(complaint({"--resume", "--overwrite"}), "--overwrite"));
  CHECK(
      has(complaint({"--resume", "--output", "no/such/run"}), "--resume: no no/such/run/checkpoint.safetensors found"));
  CHECK(complaint({"--resume", "--output", "no/such/run", "--preset", "stl10"}).empty());
  CHECK(has(complaint({"--momentum", "1"}), "--momentum"));
  CHECK(has(complaint({"--heads", "30", "1"}), "--heads: 1"));
  CHECK(has(complaint({"--objective", "moco"}), "--objective"));
  CHECK(complaint({"--objective", "sela-v2", "--queue-length", "64"}) ==
        "--queue-length: found with --objective sela-v2, swav wanted");
  CHECK(has(complaint({"--time-budget", "10 parsecs"}), "--time-budget"));
  CHECK(has(complaint({"--queue-length", "-1"}), "--queue-length: -1"));
  CHECK(has(complaint({"--momentum-encoder", "1"}), "--momentum-encoder: 1"));
  CHECK(has(complaint({"--accumulate", "0"}), "--accumulate: 0"));
  CHECK(has(complaint({"--accumulate", "2000000000"}), "--accumulate: 2000000000"));
  CHECK(has(complaint({"--final-temperature", "-1"}), "--final-temperature: -1"));
  CHECK(has(complaint({"--larc", "--optimizer", "lars"}), "--larc"));
  CHECK(has(complaint({"--flip", "1.5"}), "--flip"));
}

TEST_CASE("a time budget is in seconds, minutes or hours") {
  CHECK(parse({"--time-budget", "90"}).options.time_budget == 90);
  CHECK(parse({"--time-budget", "90s"}).options.time_budget == 90);
  CHECK(parse({"--time-budget", "10m"}).options.time_budget == 600);
  CHECK(parse({"--time-budget", "1.5h"}).options.time_budget == 5400);
}

TEST_CASE("presets are the rows of the release's tables") {
  const auto images = [](const char* name) { return step_images(preset_options(name)); };
  for (const char* name : {"swav-800ep", "swav-400ep", "swav-200ep", "swav-100ep", "swav-400ep-2x224",
                           "swav-rn50w2-400ep", "deepclusterv2-800ep", "selav2-400ep"})
    CHECK(images(name) == 4096);
  CHECK(images("swav-rn50w4-400ep") == 2560);
  const TrainOptions small = preset_options("swav-400ep-bs256");
  CHECK(step_images(small) == 256);
  CHECK(small.queue_length == 3840);
  CHECK(small.queue_start_epoch == 15);
  CHECK(small.freeze_prototypes == 5005);
  CHECK(small.learning_rate == 0.6);
  CHECK(small.epochs == 400);
  const TrainOptions clusters = preset_options("deepclusterv2-400ep");
  CHECK(clusters.objective == "deepcluster-v2");
  CHECK(clusters.heads == std::vector<int>{3000, 3000, 3000});
  CHECK(clusters.large_size == 160);
  CHECK(clusters.small_crops == 4);
  CHECK(preset_options("swav-rn50w2-400ep").width == 128);
}
