// Evaluation and finetuning on a GPU, which on a machine without one is emulated, against the CPU. In: tiny data. Out:
// checks of pixels, features, losses and weights.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cuda_planes.hpp"
#include "data/dataset.hpp"
#include "eval/command_line.hpp"
#include "image_files.hpp"
#include "model/stored_network.hpp"
#include "support.hpp"
#include "swav/core/philox.hpp"
#include "swav/crops/multi_crop.hpp"
#include "train/evaluation.hpp"
#include "train/image_feed.hpp"
#include "train/run.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

constexpr Architecture tiny{.depth = 10, .width = 8, .small_stem = true, .channels = 3, .head = false};

Network network_on(Processor processor, Index images, int size, Precision precision) {
  return Network(tiny, {{images, size}}, precision, 1, Gradients::computed, RankGroup(), processor);
}

double largest_difference(const std::vector<float>& found, const std::span<const float> wanted, double relative) {
  REQUIRE(found.size() == wanted.size());
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto value = static_cast<double>(wanted[i]);
    worst = std::max(worst, std::abs(static_cast<double>(found[i]) - value) - relative * std::abs(value));
  }
  return worst;
}

}  // namespace

TEST_CASE("a feed renders on a GPU what it does on the CPU: centre crops and random ones, of images of any size") {
  constexpr Index count = 5, size = 12;
  const MultiCropSampler sampler({{.count = 1, .size = size}});
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    Network cpu = network_on(Processor::cpu, count, size, Precision::float32),
            gpu = network_on(Processor::cuda, count, size, precision);
    const FeedPlan plan{cpu.images(0), count, 3, size, Normalization{}};
    FeedPlan on_gpu = plan;
    on_gpu.to = gpu.images(0);
    const std::unique_ptr<ImageFeed> wanted = make_feed(Processor::cpu, plan),
                                     found = make_feed(Processor::cuda, on_gpu);
    std::ranges::fill(cpu.input(0), 0.0f);
    PhiloxStream random(5, 0);
    for (int batch = 0; batch < 3; ++batch) {  // the third reuses the memory of the first
      CAPTURE(batch);
      for (Index at = 0; at < count; ++at) {
        if ((at + batch) % count == 1) continue;  // cannot be read: stays as it was
        const Index height = 10 + 7 * at + 20 * batch, width = 31 - 3 * at;
        std::vector<std::uint8_t> pixels(static_cast<std::size_t>(3 * height * width));
        for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random.below(256));
        const ImageView<std::uint8_t> image{pixels.data(), height, width, 3};
        const CropPlan crop = batch == 1 ? sampler.plan({1, 2, static_cast<std::uint64_t>(at)}, height, width, 0)
                                         : center_crop(height, width, 14, size);
        wanted->put(at, image, crop);
        found->put(at, image, crop);
      }
      wanted->finish();
      found->finish();
      CHECK(largest_difference(planes_on_gpu(gpu.images(0), 3, size), cpu.input(0),
                               precision == Precision::bfloat16 ? 1.0 / 256 : 0) <= 2e-5);
    }
  }
}

TEST_CASE("features of image files on a GPU are the CPU's, in several batches, with unreadable ones left out") {
  const TemporaryFolder folder;
  write_class_folders(folder.path(), 9, 1);
  write_bytes(folder / "a" / small_file_name(3), bytes_of("no image"));
  const Dataset data = load_image_folder(folder.path(), {.max_bad_share = 1});
  Network cpu = network_on(Processor::cpu, 2, 8, Precision::float32),
          gpu = network_on(Processor::cuda, 2, 8, Precision::float32);
  const PartFeatures wanted = extract_part(cpu, Precision::float32, *data.training, Normalization{}, 16),
                     found = extract_part(gpu, Precision::float32, *data.training, Normalization{}, 16);
  CHECK(std::ssize(found.images) < data.training->count());
  CHECK(found.images == wanted.images);
  CHECK(found.labels == wanted.labels);
  CHECK((found.rows - wanted.rows).cwiseAbs().maxCoeff() < 1e-4 * wanted.rows.cwiseAbs().maxCoeff());
}

TEST_CASE("finetune on a GPU learns what it learns on the CPU: all layers, and the linear layer alone") {
  const TemporaryFolder folder;
  write_class_folders(folder / "data" / "train", 24, 3);
  write_class_folders(folder / "data" / "val", 6, 3, 24);
  write_bytes(folder / "data" / "train" / "b" / small_file_name(4), bytes_of("no image"));
  TrainOptions o = tiny_options(folder / "data", folder / "run");
  o.data = "imagefolder";
  o.large_size = 12;
  o.max_bad_share = 1;
  o.max_steps = 1;
  o.evaluate = false;
  o.precision = "float32";
  REQUIRE(run_training(o) == 0);
  const auto tune = [&](const std::string& device, const std::string& head_steps) {
    const std::string json = (folder / "results.jsonl").string(), saved = (folder / (device + head_steps)).string(),
                      run = (folder / "run").string();
    std::filesystem::remove(json);
    std::istringstream settings(
        "--max-bad-share 1 --precision float32 --labels 0.8 --epochs 2 --min-steps 4 --lr 0.02 --head-lr 0.5 "
        "--batch-size 8 --threads 1");
    std::vector<std::string> words{"swav-eval", "finetune", run,  "--device", device, "--head-steps",
                                   head_steps,  "--json",   json, "--save",   saved};
    words.insert(words.end(), std::istream_iterator<std::string>(settings), {});
    std::vector<const char*> arguments;
    for (const std::string& word : words) arguments.push_back(word.c_str());
    parse_eval_command_line(static_cast<int>(arguments.size()), arguments.data()).run();
    return std::pair(nlohmann::json::parse(read_text(json)), StoredNetwork(saved));
  };
  for (const char* head_steps : {"1", "4"}) {
    CAPTURE(std::string(head_steps));
    const auto [wanted, cpu] = tune("cpu", head_steps);
    const auto [found, gpu] = tune("cuda", head_steps);
    CHECK(found.at("device") == "cuda");
    CHECK(found.at("protocol") == wanted.at("protocol"));
    CHECK(found.at("training_loss").get<double>() ==
          doctest::Approx(wanted.at("training_loss").get<double>()).epsilon(1e-4));
    CHECK(found.at("test_images") == 6);
    CHECK(std::abs(found.at("accuracy").get<double>() - wanted.at("accuracy").get<double>()) < 0.2);  // one image
    for (const char* name :
         {"conv1.weight", "layer4.0.conv2.weight", "layer2.0.bn1.running_var", "fc.weight", "fc.bias"}) {
      CAPTURE(std::string(name));
      const std::vector<float>& values = cpu[name].values;
      double size = 0;
      for (const float value : values) size = std::max(size, std::abs(static_cast<double>(value)));
      CHECK(largest_difference(gpu[name].values, values, 0) <= 1e-3 * size);
    }
  }
}
