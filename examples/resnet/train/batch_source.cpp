// Batches, and whose share of them is whose. In: images. Out: crops.
#include "train/batch_source.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "data/image_source.hpp"
#include "swav/crops/multi_crop.hpp"
#include "train/batches.hpp"
#include "train/data_order.hpp"
#include "train/learner.hpp"

namespace swav::resnet {
namespace {

std::vector<ImageGroup> image_groups(const TrainOptions& o, Index images) {
  std::vector<ImageGroup> groups{{o.large_crops * images, o.large_size}};
  if (o.small_crops > 0) groups.push_back({o.small_crops * images, o.small_size});
  return groups;
}

}  // namespace

struct BatchSource::Implementation {
  Implementation(const TrainOptions& options, const ImageSource& all_images, const Normalization& normalization,
                 RankGroup all_ranks)
      : ranks(std::move(all_ranks)),
        share(options.batch_size / ranks.size()),
        batch_size(options.batch_size),
        seed(options.seed),
        images(all_images),
        groups(image_groups(options, share)),
        specs(crop_specs(options, normalization)),
        crops(specs),
        order(options.objective == "swav" ? std::size_t{0} : static_cast<std::size_t>(all_images.count())) {
    const BatchOptions of_rank{.batch_size = options.batch_size,
                               .first = ranks.rank() * share,
                               .count = share,
                               .seed = options.seed,
                               .multiple = options.accumulate,
                               .workers = resolve_workers(options, all_images),
                               .files = options.decode == "gpu"};
    if (options.device == "cpu")
      rendered.emplace(all_images, crops, groups, of_rank);
    else
      decoded.emplace(all_images, of_rank);
  }

  /// A rank that cannot read its images must not leave the others waiting for it.
  template <class Load>
  void together(Load load) const {
    if (ranks.size() == 1) return load();
    std::string fault;
    try {
      load();
    } catch (const FileError& error) {
      fault = error.what();
    }
    double failed = fault.empty() ? 0 : 1;
    ranks.maximum(&failed, 1);
    if (failed == 0) return;
    const std::vector<std::string> faults = ranks.texts(fault);
    const auto first = std::ranges::find_if(faults, [](const std::string& text) { return !text.empty(); });
    throw BatchFailure("rank " + std::to_string(first - faults.begin()), *first);
  }

  RankGroup ranks;
  Index share, batch_size;
  std::uint64_t seed;
  const ImageSource& images;
  std::vector<ImageGroup> groups;
  std::vector<CropSpec> specs;
  MultiCropSampler crops;
  std::optional<Batches> rendered;  // either
  std::optional<DecodedBatches> decoded;
  std::vector<Index> order;  // of the images, in the epoch that order_epoch says
  Index order_epoch = -1;
};

BatchSource::BatchSource(const TrainOptions& options, const ImageSource& images, const Normalization& normalization,
                         RankGroup ranks)
    : implementation_(std::make_unique<Implementation>(options, images, normalization, std::move(ranks))) {}
BatchSource::~BatchSource() = default;

Index BatchSource::share() const { return implementation_->share; }
const std::vector<ImageGroup>& BatchSource::groups() const { return implementation_->groups; }
Index BatchSource::views() const { return implementation_->crops.views(); }
Index BatchSource::per_epoch() const {
  const Implementation& self = *implementation_;
  return self.rendered ? self.rendered->per_epoch() : self.decoded->per_epoch();
}
Index BatchSource::images() const { return implementation_->images.count(); }
Index BatchSource::channels() const { return implementation_->images.channels(); }
std::span<const std::uint8_t> BatchSource::storage() const { return implementation_->images.storage(); }
const MultiCropSampler& BatchSource::crops() const { return implementation_->crops; }
const std::vector<CropSpec>& BatchSource::specs() const { return implementation_->specs; }

void BatchSource::load(Index batch, std::span<float* const> inputs) {
  implementation_->together([&] { implementation_->rendered->load(batch, inputs); });
}

const DecodedBatch& BatchSource::decode(Index batch) {
  const DecodedBatch* loaded = nullptr;
  implementation_->together([&] { loaded = &implementation_->decoded->load(batch); });
  return *loaded;
}
void BatchSource::set_memory(HostAllocator allocate) { implementation_->decoded->set_memory(std::move(allocate)); }

std::span<const Index> BatchSource::images_of(Index batch) {
  Implementation& self = *implementation_;
  const Index epoch = batch / per_epoch();
  if (self.order_epoch != epoch) {
    epoch_order(self.seed, static_cast<std::uint64_t>(epoch), self.order);
    self.order_epoch = epoch;
  }
  return std::span<const Index>(self.order)
      .subspan(static_cast<std::size_t>(batch % per_epoch() * self.batch_size),
               static_cast<std::size_t>(self.batch_size));
}

}  // namespace swav::resnet
