// JPEG files decoded on a GPU, which on a machine without one is emulated, against the CPU's decoder. In: files of
// every kind. Out: checks of pixels, of what is left out, and of refusals.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "cuda_planes.hpp"
#include "data/dataset.hpp"
#include "image_files.hpp"
#include "support.hpp"
#include "swav/core/error.hpp"
#include "swav/io/safetensors.hpp"
#include "train/learner.hpp"
#ifdef SWAV_CUDA_EMULATED
#include "nvjpeg.h"
#endif

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

// nvJPEG's own rounding and upsampling, of which the emulation has none.
#ifdef SWAV_CUDA_EMULATED
constexpr double most_difference = 2e-5;
#else
constexpr double most_difference = 0.1;
#endif

/// All files that the decoder is tested with, two that are damaged, and one that is no image.
Dataset every_kind(const TemporaryFolder& folder) {
  const SafetensorsFile golden(SWAV_GOLDEN_DIR "/images.safetensors");
  for (const StoredTensor& tensor : golden.tensors()) {
    if (!tensor.name.starts_with("pixels ")) continue;
    const auto bytes = golden.at(tensor.name.substr(7)).bytes;
    const auto* const first = reinterpret_cast<const std::uint8_t*>(bytes.data());
    write_bytes(folder / tensor.name.substr(7), {first, first + bytes.size()});
    if (tensor.name == "pixels baseline.jpg" || tensor.name == "pixels progressive.jpg")
      write_bytes(folder / ("half_" + tensor.name.substr(7)), {first, first + bytes.size() / 2});
  }
  write_bytes(folder / "foreign.jpg", bytes_of("no image"));
  return load_image_folder(folder.path(), {.max_bad_share = 1});
}

TrainOptions options_of(const std::string& decode, int workers) {
  TrainOptions o = tiny_options("", "");
  o.data = "imagefolder";
  o.width = 8;
  o.large_size = 10;
  o.small_crops = 0;
  o.batch_size = 15;  // three batches have all files
  o.precision = "float32";
  o.device = "cuda";
  o.decode = decode;
  o.workers = workers;
  return o;
}

/// The crops of some steps, by each decoder, are the same; returns whether this build can decode on a GPU.
bool check_decoders(int workers) {
  const TemporaryFolder folder;
  const Dataset by_cpu = every_kind(folder), by_gpu = load_image_folder(folder.path(), {.max_bad_share = 1});
  Learner wanted(options_of("cpu", workers), *by_cpu.training, Normalization{});
  std::optional<Learner> found;
  try {
    found.emplace(options_of("gpu", workers), *by_gpu.training, Normalization{});
  } catch (const InvalidInput& error) {
    CHECK(std::string(error.what()).find("nvJPEG was not found") != std::string::npos);
    return false;
  }
  for (int step = 0; step < 5; ++step) {
    CAPTURE(step);
    (void)wanted.step();
    (void)found->step();
    const std::vector<float> a = planes_on_gpu(wanted.network().images(0), 3, 10),
                             b = planes_on_gpu(found->network().images(0), 3, 10);
    REQUIRE(a.size() == b.size());
    double difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
      difference += std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    CHECK(difference / static_cast<double>(a.size()) <= most_difference);
  }
  std::vector<std::string> cpu_problems = by_cpu.training->take_problems(),
                           gpu_problems = by_gpu.training->take_problems();
  for (auto* problems : {&cpu_problems, &gpu_problems})
    for (std::string& problem : *problems) problem.resize(problem.find("; it is left out"));
  std::ranges::sort(cpu_problems);
  std::ranges::sort(gpu_problems);
  CHECK(cpu_problems.size() == 3);
  CHECK(gpu_problems == cpu_problems);
  return true;
}

}  // namespace

TEST_CASE("a GPU decodes the JPEG files that the CPU does, upright; other and damaged files are as on the CPU") {
#ifdef SWAV_CUDA_EMULATED
  emulation::jpegs_decoded = emulation::jpeg_batches = 0;
#endif
  for (const int workers : {0, 2})
    if (!check_decoders(workers)) return;
#ifdef SWAV_CUDA_EMULATED
  CHECK(emulation::jpegs_decoded >= 60);
  CHECK(emulation::jpeg_batches == 10);  // a step each
  // What nvJPEG does not take after all is decoded by the host, whatever it says of it.
  const SafetensorsFile golden(SWAV_GOLDEN_DIR "/images.safetensors");
  emulation::jpeg_refused_width = static_cast<unsigned>(golden.at("pixels baseline.jpg").shape[1]);
  for (const nvjpegStatus_t refusal : {NVJPEG_STATUS_JPEG_NOT_SUPPORTED, NVJPEG_STATUS_EXECUTION_FAILED}) {
    CAPTURE(refusal);
    emulation::jpeg_refusal = refusal;
    emulation::jpeg_batches = 0;
    CHECK(check_decoders(2));
    CHECK(emulation::jpeg_batches < 5);
  }
  emulation::jpeg_refused_width = 0;
  emulation::jpeg_refusal = NVJPEG_STATUS_JPEG_NOT_SUPPORTED;
#endif
}
