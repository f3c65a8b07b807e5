// Times the multi-crop sampler on photographs. In: a folder with *.jpg files, and requests (line_protocol.hpp) for
// SOURCE_THREADS, where SOURCE is files (JPEG in memory, decoded once for all views), pixels (already decoded) or
// decode (no crops). Out: seconds for 64 images, each to 2 x 224 + 6 x 96 normalised float planes. bench/peers/crops.py
// times others at the same work.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "data/image_decoder.hpp"
#include "line_protocol.hpp"
#include "swav/backend/eigen/device.hpp"
#include "swav/crops/multi_crop.hpp"
#include "swav/crops/recipes.hpp"

namespace {

using namespace swav;

constexpr Index images = 64;

struct Photograph {
  std::string name;
  std::vector<std::uint8_t> file;
  resnet::DecodedImage decoded;
};
using Photographs = std::shared_ptr<const std::vector<Photograph>>;

Photographs load(const std::filesystem::path& folder) {
  auto photographs = std::make_shared<std::vector<Photograph>>();
  resnet::ImageDecoder decoder;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jpg") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    Photograph& p = photographs->emplace_back(Photograph{.name = entry.path().filename(), .file = {}, .decoded = {}});
    p.file.assign(std::istreambuf_iterator<char>(file), {});
    decoder.decode(p.file, p.name, p.decoded);
  }
  std::sort(photographs->begin(), photographs->end(),
            [](const Photograph& a, const Photograph& b) { return a.name < b.name; });
  return photographs;
}

/// What a thread works with.
struct Worker {
  explicit Worker(const MultiCropSampler& crops) {
    for (Index v = 0; v < crops.views(); ++v)
      outputs.push_back(views.emplace_back(3 * crops.view(v).size * crops.view(v).size).data());
  }
  resnet::ImageDecoder decoder;
  resnet::DecodedImage decoded;
  std::vector<std::vector<float>> views;
  std::vector<float*> outputs;
};

enum class Source { files, pixels, decode };

std::function<void()> crop(const Photographs& photographs, Source source, int threads) {
  const auto crops = std::make_shared<MultiCropSampler>(swav_crops());
  const auto workers = std::make_shared<std::vector<Worker>>();
  for (int t = 0; t < threads; ++t) workers->emplace_back(*crops);
  return [=, device = EigenDevice(threads)] {
    std::atomic<Index> next = 0;  // images differ in what they cost
    device.for_shares(threads, [&](int share, Index, Index) {
      Worker& worker = (*workers)[static_cast<std::size_t>(share)];
      for (Index i = next++; i < images; i = next++) {
        const Photograph& photograph = (*photographs)[static_cast<std::size_t>(i) % photographs->size()];
        if (source != Source::pixels) worker.decoder.decode(photograph.file, photograph.name, worker.decoded);
        const resnet::DecodedImage& image = source == Source::pixels ? photograph.decoded : worker.decoded;
        if (source != Source::decode) (*crops)(image.view(), {1, 0, static_cast<std::uint64_t>(i)}, worker.outputs);
      }
    });
  };
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: bench_crops FOLDER\n";
    return 2;
  }
  const Photographs photographs = load(arguments[1]);
  std::map<std::string, bench::Case> cases;
  const std::array<std::pair<const char*, Source>, 3> sources = {
      {{"files", Source::files}, {"pixels", Source::pixels}, {"decode", Source::decode}}};
  for (const auto& [name, source] : sources)
    for (const int threads : {1, 2})
      cases[std::string(name) + "_" + std::to_string(threads)] = [=, source = source] {
        return crop(photographs, source, threads);
      };
  return bench::serve(cases);
}
