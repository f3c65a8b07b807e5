// Batches by the step's threads, or copied from what workers rendered ahead. In: images. Out: crops.
#include "train/batches.hpp"

#include <algorithm>
#include <utility>

#include "swav/core/error.hpp"
#include "train/parallel_images.hpp"

namespace swav::resnet {
namespace {

constexpr std::size_t most_views = 64;

std::size_t values_of(const ImageGroup& group, Index channels) {
  return static_cast<std::size_t>(group.images * channels * group.size * group.size);
}

// By one thread it would take as long as a small network's step.
void copy_in_parallel(const std::vector<float>& from, float* to) {
  constexpr std::size_t piece = std::size_t{1} << 16;
#pragma omp parallel for schedule(static)
  for (std::size_t first = 0; first < from.size(); first += piece)
    std::copy_n(from.data() + first, std::min(piece, from.size() - first), to + first);
}

}  // namespace

Batches::Batches(const ImageSource& images, const MultiCropSampler& crops, std::vector<ImageGroup> groups,
                 const BatchOptions& options)
    : images_(images, options), crops_(crops), groups_(std::move(groups)) {
  detail::require(crops.views() <= static_cast<Index>(most_views), "--large-crops and --small-crops: ", crops.views(),
                  " views found, ", most_views, " or fewer wanted");
}

void Batches::load(Index step, std::span<float* const> inputs) {
  if (images_.workers() == 0) {
    GroupInputs all{};
    std::copy(inputs.begin(), inputs.end(), all.begin());
    for_each_image(images_.count(), [&](Index b, std::size_t thread) { render(step, b, thread, all); });
    return;
  }
  if (!prefetcher_ || prefetcher_->next() != step) start_workers(step);
  const std::size_t slot = prefetcher_->take();
  for (std::size_t g = 0; g < groups_.size(); ++g) copy_in_parallel(slot_inputs_[slot][g], inputs[g]);
  prefetcher_->release();
}

void Batches::start_workers(Index step) {
  prefetcher_.reset();
  for (auto& inputs : slot_inputs_)
    for (std::size_t g = 0; g < groups_.size(); ++g)
      inputs[g].resize(values_of(groups_[g], images_.source().channels()));
  prefetcher_ = std::make_unique<Prefetcher>(
      PrefetchOptions{.workers = images_.workers(), .slots = slots, .items = images_.count(), .first = step},
      [this](const PrefetchItem& item) {
        GroupInputs inputs{};
        for (std::size_t g = 0; g < groups_.size(); ++g) inputs[g] = slot_inputs_[item.slot][g].data();
        render(item.batch, item.item, item.worker, inputs);
      });
}

void Batches::render(Index step, Index b, std::size_t reader, const GroupInputs& inputs) {
  const auto [read, key] = images_.read(step, b, reader);
  const ImageView<std::uint8_t>& image = read.image;
  std::array<float*, most_views> outputs;
  std::size_t view = 0;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const Index size = groups_[g].size;
    for (Index row = b; row < groups_[g].images; row += images_.count())
      outputs[view++] = inputs[g] + row * image.channels * size * size;
  }
  crops_(image, key, std::span<float* const>(outputs.data(), view));
}

}  // namespace swav::resnet
