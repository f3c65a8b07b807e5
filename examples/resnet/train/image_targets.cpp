// ImageTargets by the library's k-means and Sinkhorn. In: embeddings. Out: targets and one-hot codes.
#include "train/image_targets.hpp"

#include <algorithm>

#include "swav/core/error.hpp"
#include "swav/evaluate/kmeans.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"

namespace swav::resnet {
namespace {

constexpr int kmeans_iterations = 10;
constexpr Index largest_exact = Index{1} << 24;  // of floats, in which checkpoints keep all numbers

Index largest(const float* row, Index count) { return std::max_element(row, row + count) - row; }

}  // namespace

ImageTargets::ImageTargets(const TrainOptions& options, Index images, Index stored)
    : options_(options),
      heads_(head_prototypes(options)),
      images_(images),
      stored_(stored),
      embeddings_(
          RowMatrix<float>::Zero(static_cast<Index>(options.crops_for_assign.size()) * stored, options.embedding)),
      numbers_(static_cast<std::size_t>(stored)),
      targets_(heads_.size() * static_cast<std::size_t>(images), -1.0f),
      codes_{.samples = options.batch_size, .of_samples = true} {
  detail::require(images <= largest_exact, "--objective: ", images, " images found, at most ", largest_exact,
                  " wanted for ", options.objective);
  for (const Index prototypes : heads_) {
    detail::require(prototypes <= stored, "--objective: ", prototypes, " prototypes found, ", stored,
                    " (the images of an epoch's steps) or fewer wanted for ", options.objective);
    codes_.heads.emplace_back(options.batch_size, prototypes);
  }
}

void ImageTargets::store(Index first, std::span<const Index> images, MatrixView<const float> z) {
  const auto count = static_cast<Index>(images.size());
  for (Index b = 0; b < count; ++b)
    numbers_[static_cast<std::size_t>(first + b)] = static_cast<float>(images[static_cast<std::size_t>(b)]);
  for (std::size_t place = 0; place < options_.crops_for_assign.size(); ++place) {
    auto rows = embeddings_.middleRows(static_cast<Index>(place) * stored_ + first, count);
    rows = detail::as_eigen(z.middle_rows(options_.crops_for_assign[place] * count, count));
    for (Index b = 0; b < count; ++b) rows.row(b).stableNormalize();
  }
}

MatrixView<const float> ImageTargets::stored(std::size_t head) const {
  const auto place = static_cast<Index>(head % options_.crops_for_assign.size());
  return MatrixView<const float>(embeddings_).middle_rows(place * stored_, stored_);
}

void ImageTargets::assign(Index epoch, Bank& bank) {
  std::ranges::fill(targets_, -1.0f);
  for (std::size_t head = 0; head < heads_.size(); ++head) {
    const std::vector<int> found =
        options_.objective == "deepcluster-v2" ? clusters(head, epoch, bank) : balanced(head, bank);
    float* const targets = targets_.data() + head * static_cast<std::size_t>(images_);
    for (std::size_t i = 0; i < found.size(); ++i)
      targets[static_cast<Index>(numbers_[i])] = static_cast<float>(found[i]);
  }
}

std::vector<int> ImageTargets::clusters(std::size_t head, Index epoch, Bank& bank) const {
  // The last iteration assigns and moves no centre.
  KMeansResult<float> result =
      spherical_kmeans(stored(head),
                       {.clusters = heads_[head],
                        .max_iterations = kmeans_iterations + 1,
                        .starts = 1,
                        .seed = options_.seed ^ (static_cast<std::uint64_t>(epoch) * heads_.size() + head + 1) << 20},
                       EigenDevice(options_.threads));
  std::copy_n(result.centres.data(), result.centres.size(), bank.weights().row(bank.head_first(head)));
  return std::move(result.clusters);
}

std::vector<int> ImageTargets::balanced(std::size_t head, const Bank& bank) const {
  const MatrixView<const float> rows = stored(head);
  const MatrixView<const float> c = bank.weights().middle_rows(bank.head_first(head), heads_[head]);
  RowMatrix<float> codes(rows.rows, c.rows);
  codes.noalias() = detail::as_eigen(rows) * detail::as_eigen(c).transpose();
  Sinkhorn<float> sinkhorn({.epsilon = options_.epsilon, .max_iterations = options_.sinkhorn_iterations},
                           EigenDevice(options_.threads));
  sinkhorn.codes_into(codes, codes);
  std::vector<int> found(static_cast<std::size_t>(rows.rows));
  for (Index r = 0; r < rows.rows; ++r)
    found[static_cast<std::size_t>(r)] = static_cast<int>(largest(codes.row(r).data(), c.rows));
  return found;
}

const ViewCodes<float, LossDevice>& ImageTargets::codes(std::span<const Index> images, MatrixView<const float> z,
                                                        const Bank& bank) {
  for (std::size_t head = 0; head < heads_.size(); ++head) {
    RowMatrix<float>& codes = codes_.heads[head];
    const MatrixView<const float> c = bank.weights().middle_rows(bank.head_first(head), heads_[head]);
    const float* const targets = targets_.data() + head * static_cast<std::size_t>(images_);
    for (Index b = 0; b < codes.rows(); ++b) {
      auto target = static_cast<Index>(targets[images[static_cast<std::size_t>(b)]]);
      if (target < 0) {
        const Index row = options_.crops_for_assign[0] * codes.rows() + b;
        codes.row(b).noalias() = detail::as_eigen(z.middle_rows(row, 1)) * detail::as_eigen(c).transpose();
        target = largest(codes.row(b).data(), codes.cols());
      }
      codes.row(b).setZero();
      codes(b, target) = 1;
    }
  }
  return codes_;
}

std::vector<StateTensor> ImageTargets::state() {
  const auto heads = static_cast<Index>(heads_.size());
  const auto views = static_cast<Index>(options_.crops_for_assign.size());
  return {{"image_targets.embeddings",
           {views, stored_, embeddings_.cols()},
           {embeddings_.data(), static_cast<std::size_t>(embeddings_.size())}},
          {"image_targets.images", {stored_}, numbers_},
          {"image_targets.targets", {heads, images_}, targets_}};
}

}  // namespace swav::resnet
