// Readers with a decoder each; what they learn of an image goes into its slot, once.
#include "data/decoded_images.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "swav/core/error.hpp"
#include "swav/io/file_error.hpp"

namespace swav::resnet {
namespace {

// A line is no image, and resized for evaluation it could take any memory.
void require_a_shape(const std::string& name, Index height, Index width) {
  constexpr Index most = 100;
  const auto [low, high] = std::minmax(height, width);
  if (high > most * low)
    throw FileError(name, detail::concatenate(height, " x ", width, " pixels found, no side more than ", most,
                                              " times the other wanted"));
}

}  // namespace

class DecodedImages::Reader final : public ImageReader {
 public:
  explicit Reader(const DecodedImages& images) : images_(images) {}

  ImageView<std::uint8_t> read(Index i) override { return bring(i, false).image; }
  ReadImage read_file(Index i) override { return bring(i, true); }

 private:
  ReadImage bring(Index i, bool as_file) {
    Slot& slot = images_.slots_[static_cast<std::size_t>(i)];
    const DecodedImage* known = slot.load(std::memory_order_acquire);
    if (known == &images_.unreadable_) return {};
    if (known != nullptr && known != &images_.whole_) return {.image = known->view()};
    try {
      images_.files_->read(i, file_);
      const std::string name = images_.files_->name(i);
      if (as_file) {
        if (const auto header = decoder_.inspect(file_, name, known == nullptr)) {
          require_a_shape(name, header->height, header->width);
          if (known == nullptr) slot.compare_exchange_strong(known, &images_.whole_);
          return {.image = {nullptr, header->height, header->width, 3}, .jpeg = {file_, header->orientation}};
        }
      }
      decoder_.decode(file_, name, image_);
      require_a_shape(name, image_.height, image_.width);
    } catch (const FileError& error) {
      images_.note_unreadable(i, error.what());
      return {};
    }
    images_.keep(i, image_);
    return {.image = image_.view()};
  }

  const DecodedImages& images_;
  ImageDecoder decoder_;
  std::vector<std::uint8_t> file_;
  DecodedImage image_;
};

DecodedImages::DecodedImages(std::string name, std::unique_ptr<const ImageFiles> files, std::vector<int> classes,
                             const DiskOptions& options)
    : name_(std::move(name)),
      files_(std::move(files)),
      options_(options),
      slots_(std::make_unique<Slot[]>(static_cast<std::size_t>(files_->count()))) {
  labels = std::move(classes);
}

DecodedImages::~DecodedImages() {
  for (std::size_t i = 0; i < static_cast<std::size_t>(count()); ++i)
    if (const DecodedImage* const image = slots_[i]; image != &unreadable_ && image != &whole_) delete image;
}

std::string DecodedImages::describe() const { return detail::concatenate(count(), " image files in ", name_); }

std::unique_ptr<ImageReader> DecodedImages::reader() const { return std::make_unique<Reader>(*this); }

std::uint64_t DecodedImages::names_hash() const {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, 64 bits
  const auto add = [&](char letter) { hash = (hash ^ static_cast<std::uint8_t>(letter)) * 0x100000001b3; };
  for (Index i = 0; i < count(); ++i) {
    const std::string path = files_->name(i);
    std::string_view name = path;
    if (name.starts_with(name_)) name.remove_prefix(name_.size());
    name.remove_prefix(std::min(name.find_first_not_of('/'), name.size()));
    std::ranges::for_each(name, add);
    add('\0');
  }
  return hash;
}

std::vector<std::string> DecodedImages::take_problems() const {
  const std::lock_guard lock(problems_mutex_);
  return std::exchange(problems_, {});
}

void DecodedImages::keep(Index i, const DecodedImage& image) const {
  const std::size_t size = image.pixels.size();
  if (cached_bytes_.fetch_add(size) + size > options_.cache_bytes) {
    cached_bytes_ -= size;
    return;
  }
  auto kept = std::make_unique<DecodedImage>(image);
  const DecodedImage* expected = nullptr;
  if (slots_[static_cast<std::size_t>(i)].compare_exchange_strong(expected, kept.get(), std::memory_order_acq_rel))
    kept.release();
  else
    cached_bytes_ -= size;
}

void DecodedImages::note_unreadable(Index i, const std::string& problem) const {
  const std::lock_guard lock(problems_mutex_);
  Slot& slot = slots_[static_cast<std::size_t>(i)];
  const DecodedImage* known = slot;
  if ((known != nullptr && known != &whole_) || !slot.compare_exchange_strong(known, &unreadable_)) return;
  ++unreadable_count_;
  problems_.push_back(
      detail::concatenate(problem, "; it is left out, ", unreadable_count_, " of ", count(), " so far"));
  if (static_cast<double>(unreadable_count_) > options_.max_bad_share * static_cast<double>(count()))
    throw FileError(
        name_, detail::concatenate(unreadable_count_, " of ", count(), " images cannot be read, a share of at most ",
                                   options_.max_bad_share, " (--max-bad-share) wanted; the last is ", problem));
}

}  // namespace swav::resnet
