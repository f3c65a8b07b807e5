// Batches by the step's threads, or copied from what workers rendered ahead. In: images. Out: crops.
#include "train/batches.hpp"

#include <omp.h>

#include <algorithm>
#include <utility>

#include "swav/core/error.hpp"
#include "swav/io/file_error.hpp"
#include "train/data_order.hpp"
#include "train/parallel_images.hpp"

namespace swav::resnet {
namespace {

constexpr std::size_t most_views = 64;

std::size_t values_of(const ImageGroup& group, Index channels) {
  return static_cast<std::size_t>(group.images * channels * group.size * group.size);
}

// By one thread it would take as long as a GPU's step.
void copy_in_parallel(const std::vector<float>& from, float* to) {
  constexpr std::size_t piece = std::size_t{1} << 16;
#pragma omp parallel for schedule(static)
  for (std::size_t first = 0; first < from.size(); first += piece)
    std::copy_n(from.data() + first, std::min(piece, from.size() - first), to + first);
}

}  // namespace

Batches::Batches(const ImageSource& images, const MultiCropSampler& crops, std::vector<ImageGroup> groups,
                 const BatchOptions& options)
    : images_(images),
      crops_(crops),
      groups_(std::move(groups)),
      options_(options),
      per_epoch_(images.count() / (options.batch_size * options.multiple) * options.multiple) {
  detail::require(options.batch_size <= images.count(), "--batch-size: ", options.batch_size, " found, ",
                  images.count(), " (the number of images) or fewer wanted");
  detail::require(per_epoch_ > 0, "--accumulate: ", options.multiple, " batches of ", options.batch_size,
                  " found, no more images in all than there are, ", images.count(), ", wanted");
  detail::require(crops.views() <= static_cast<Index>(most_views), "--large-crops and --small-crops: ", crops.views(),
                  " views found, ", most_views, " or fewer wanted");
  if (options_.count == 0) options_.count = options_.batch_size - options_.first;
  for (EpochOrder& order : orders_) order.images.resize(static_cast<std::size_t>(images.count()));
  const int readers = options.workers > 0 ? options.workers : omp_get_max_threads();
  for (int r = 0; r < readers; ++r) readers_.push_back(images.reader());
}

void Batches::load(Index step, std::span<float* const> inputs) {
  if (options_.workers == 0) {
    GroupInputs all{};
    std::copy(inputs.begin(), inputs.end(), all.begin());
    for_each_image(options_.count, [&](Index b, std::size_t thread) { render(step, b, *readers_[thread], all); });
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
    for (std::size_t g = 0; g < groups_.size(); ++g) inputs[g].resize(values_of(groups_[g], images_.channels()));
  prefetcher_ = std::make_unique<Prefetcher>(
      PrefetchOptions{.workers = options_.workers, .slots = slots, .items = options_.count, .first = step},
      [this](const PrefetchItem& item) {
        GroupInputs inputs{};
        for (std::size_t g = 0; g < groups_.size(); ++g) inputs[g] = slot_inputs_[item.slot][g].data();
        render(item.batch, item.item, *readers_[item.worker], inputs);
      });
}

const std::vector<Index>& Batches::order_of(Index epoch) {
  const std::lock_guard lock(order_mutex_);
  EpochOrder& order = orders_[static_cast<std::size_t>(epoch) % slots];
  if (order.epoch != epoch) {
    epoch_order(options_.seed, static_cast<std::uint64_t>(epoch), order.images);
    order.epoch = epoch;
  }
  return order.images;
}

void Batches::render(Index step, Index b, ImageReader& reader, const GroupInputs& inputs) {
  const Index epoch = step / per_epoch_;
  const std::vector<Index>& order = order_of(epoch);
  const auto position = static_cast<std::size_t>(step % per_epoch_ * options_.batch_size + options_.first + b);
  ImageView<std::uint8_t> image;
  for (std::size_t ahead = 0; image.data == nullptr && ahead < order.size(); ++ahead)
    image = reader.read(order[(position + ahead) % order.size()]);
  if (image.data == nullptr) throw FileError(images_.describe(), "none of them can be read");

  std::array<float*, most_views> outputs;
  std::size_t view = 0;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const Index size = groups_[g].size;
    for (Index row = b; row < groups_[g].images; row += options_.count)
      outputs[view++] = inputs[g] + row * image.channels * size * size;
  }
  crops_(image, CropKey{options_.seed, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(order[position])},
         std::span<float* const>(outputs.data(), view));
}

}  // namespace swav::resnet
