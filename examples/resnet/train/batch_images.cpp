// Images by an epoch's order. In: a place in a batch. Out: the image there, or one that can be read.
#include "train/batch_images.hpp"

#include <omp.h>

#include "swav/core/error.hpp"
#include "swav/io/file_error.hpp"
#include "train/data_order.hpp"

namespace swav::resnet {

BatchImages::BatchImages(const ImageSource& images, const BatchOptions& options)
    : images_(images),
      options_(options),
      per_epoch_(images.count() / (options.batch_size * options.multiple) * options.multiple) {
  detail::require(options.batch_size <= images.count(), "--batch-size: ", options.batch_size, " found, ",
                  images.count(), " (the number of images) or fewer wanted");
  detail::require(per_epoch_ > 0, "--accumulate: ", options.multiple, " batches of ", options.batch_size,
                  " found, no more images in all than there are, ", images.count(), ", wanted");
  if (options_.count == 0) options_.count = options_.batch_size - options_.first;
  for (EpochOrder& order : orders_) order.images.resize(static_cast<std::size_t>(images.count()));
  const int readers = options.workers > 0 ? options.workers : omp_get_max_threads();
  for (int r = 0; r < readers; ++r) readers_.push_back(images.reader());
}

const std::vector<Index>& BatchImages::order_of(Index epoch) {
  const std::lock_guard lock(order_mutex_);
  EpochOrder& order = orders_[static_cast<std::size_t>(epoch) % slots];
  if (order.epoch != epoch) {
    epoch_order(options_.seed, static_cast<std::uint64_t>(epoch), order.images);
    order.epoch = epoch;
  }
  return order.images;
}

BatchImages::Item BatchImages::read(Index step, Index b, std::size_t reader) {
  const Index epoch = step / per_epoch_;
  const std::vector<Index>& order = order_of(epoch);
  const auto position = static_cast<std::size_t>(step % per_epoch_ * options_.batch_size + options_.first + b);
  ReadImage image;
  for (std::size_t ahead = 0; !image.is_readable() && ahead < order.size(); ++ahead) {
    const Index i = order[(position + ahead) % order.size()];
    image = options_.files ? readers_[reader]->read_file(i) : ReadImage{.image = readers_[reader]->read(i)};
  }
  if (!image.is_readable()) throw FileError(images_.describe(), "none of them can be read");
  return {image, {options_.seed, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(order[position])}};
}

}  // namespace swav::resnet
