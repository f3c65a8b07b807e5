// Spherical k-means on the CPU. In: features. Out: a cluster a row, unit centres.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <utility>
#include <vector>

#include "swav/core/philox.hpp"
#include "swav/evaluate/statistics.hpp"

namespace swav {

struct KMeansOptions {
  Index clusters = 10;       ///< at most the number of rows
  int max_iterations = 100;  ///< of each start; it ends earlier once no row changes its cluster
  int starts = 4;            ///< of which the best is taken
  std::uint64_t seed = 0;
};

/// Clusters of features by their direction.
template <std::floating_point Scalar>
struct KMeansResult {
  std::vector<int> clusters;  ///< one a row, from 0: the centre of largest cosine, the lowest of equals
  RowMatrix<Scalar> centres;  ///< clusters x D, unit rows
  double similarity = 0;      ///< mean cosine of the rows with their centres, which is maximised
  int iterations = 0;         ///< of the start that was taken
};

namespace detail {

/// One start of spherical k-means on unit rows, and what it keeps.
template <std::floating_point Scalar>
class KMeansStart {
 public:
  KMeansStart(const RowMatrix<Scalar>& unit, const KMeansOptions& options, int start, const EigenDevice& device)
      : unit_(unit), device_(device), cosines_(static_cast<std::size_t>(unit.rows())) {
    scatter(options, start);
    iterate(options);
  }

  [[nodiscard]] KMeansResult<Scalar>& result() { return result_; }

 private:
  /// cosines_[r] = unit_r . centre(r)
  template <class Centre>
  void measure(Centre&& centre) {
    device_.for_shares(unit_.rows(), [&](int, Index first, Index count) {
      for (Index r = first; r < first + count; ++r)
        cosines_[static_cast<std::size_t>(r)] = static_cast<double>(unit_.row(r).dot(result_.centres.row(centre(r))));
    });
  }

  /// k-means++: each centre is a row, drawn with its distance from the nearest centre so far as weight.
  void scatter(const KMeansOptions& options, int start) {
    PhiloxStream random(options.seed, static_cast<std::uint64_t>(start));
    const Index n = unit_.rows();
    result_.centres.resize(options.clusters, unit_.cols());
    std::vector<double> distance(static_cast<std::size_t>(n), 2.0);
    auto chosen = static_cast<Index>(random.below(static_cast<std::uint64_t>(n)));
    for (Index k = 0; k < options.clusters; ++k) {
      result_.centres.row(k) = unit_.row(chosen);
      measure([k](Index) { return k; });
      double total = 0;
      for (std::size_t r = 0; r < distance.size(); ++r)
        total += distance[r] = std::min(distance[r], std::max(0.0, 1 - cosines_[r]));
      double left = random.uniform() * total;
      for (chosen = 0; chosen + 1 < n; ++chosen)
        if ((left -= distance[static_cast<std::size_t>(chosen)]) < 0) break;
    }
  }

  void iterate(const KMeansOptions& options) {
    bool moved = true;
    while (moved && result_.iterations < options.max_iterations) {
      ++result_.iterations;
      std::vector<int> clusters = assign_prototypes<Scalar>(MatrixView<const Scalar>(unit_),
                                                            MatrixView<const Scalar>(result_.centres), device_);
      measure([&](Index r) { return clusters[static_cast<std::size_t>(r)]; });
      double sum = 0;
      for (const double cosine : cosines_) sum += cosine;
      result_.similarity = sum / static_cast<double>(cosines_.size());
      moved = clusters != result_.clusters;
      result_.clusters = std::move(clusters);
      if (moved && result_.iterations < options.max_iterations) move_centres();
    }
  }

  /// To the mean direction of their rows; one without rows to the row that is farthest from its own.
  void move_centres() {
    const Index k = result_.centres.rows();
    RowMatrix<double> sums = RowMatrix<double>::Zero(k, unit_.cols());
    std::vector<Index> counts(static_cast<std::size_t>(k));
    for (Index r = 0; r < unit_.rows(); ++r) {
      const int cluster = result_.clusters[static_cast<std::size_t>(r)];
      sums.row(cluster) += unit_.row(r).template cast<double>();
      ++counts[static_cast<std::size_t>(cluster)];
    }
    for (Index j = 0; j < k; ++j) {
      if (counts[static_cast<std::size_t>(j)] > 0) {
        result_.centres.row(j) = sums.row(j).stableNormalized().template cast<Scalar>();
        continue;
      }
      const auto farthest = std::min_element(cosines_.begin(), cosines_.end());
      result_.centres.row(j) = unit_.row(farthest - cosines_.begin());
      *farthest = 2;  // not for the next empty one
    }
  }

  const RowMatrix<Scalar>& unit_;
  const EigenDevice& device_;
  std::vector<double> cosines_;
  KMeansResult<Scalar> result_;
};

}  // namespace detail

/// Spherical k-means (Dhillon and Modha, "Concept decompositions for large sparse text data", 2001) from k-means++
/// starts (Arthur and Vassilvitskii, 2007; 1 - cosine is half the squared distance of unit rows). `features` is n x D;
/// rows are normalised here, one of zeros stays so. Throws InvalidInput on options out of range, on fewer rows than
/// clusters and on entries that are not finite. Memory: a copy of the features. Time O(starts x iterations x n x
/// clusters x D). The result does not depend on the number of threads.
template <std::floating_point Scalar>
[[nodiscard]] KMeansResult<Scalar> spherical_kmeans(MatrixView<const Scalar> features, const KMeansOptions& options,
                                                    const EigenDevice& device = EigenDevice{}) {
  detail::check_view("features", features);
  detail::require(features.cols >= 1, "features: 0 columns found, 1 or more wanted");
  detail::require(options.clusters >= 1 && options.clusters <= features.rows, "clusters: ", options.clusters,
                  " found, 1 to ", features.rows, " (the rows of features) wanted");
  detail::require(options.max_iterations >= 1, "max_iterations: ", options.max_iterations, " found, 1 or more wanted");
  detail::require(options.starts >= 1, "starts: ", options.starts, " found, 1 or more wanted");
  RowMatrix<Scalar> unit = detail::as_eigen(features);
  detail::require(unit.allFinite(), "features: a value that is not finite found, finite values wanted");
  for (Index r = 0; r < unit.rows(); ++r) unit.row(r).stableNormalize();

  KMeansResult<Scalar> best;
  for (int start = 0; start < options.starts; ++start) {
    detail::KMeansStart<Scalar> found(unit, options, start, device);
    if (start == 0 || found.result().similarity > best.similarity) best = std::move(found.result());
  }
  return best;
}

}  // namespace swav
