// How well a clustering agrees with classes. In: a cluster and a class a sample. Out: NMI, ARI, accuracy, purity.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "swav/core/matrix_view.hpp"
#include "swav/evaluate/assignment.hpp"
#include "swav/evaluate/labels.hpp"

namespace swav {

/// Agreement of clusters with classes; numbers of both are names and carry no order.
struct ClusterAgreement {
  double nmi = 0;       ///< mutual information over the mean of both entropies, in [0, 1]
  double ari = 0;       ///< Rand index adjusted for chance: 1 for equal partitions, 0 on average for random ones
  double accuracy = 0;  ///< share of samples whose cluster's class is theirs, clusters and classes paired one to one
  double purity = 0;    ///< the same with the most frequent class of each cluster, so that classes may have several
  Index clusters = 0;   ///< that have a sample
  Index classes = 0;    ///< that have a sample
};

/// NMI with the arithmetic mean (Strehl and Ghosh, "Cluster ensembles", 2002; scikit-learn's convention), 1 if both are
/// a single group; ARI by Hubert and Arabie, "Comparing partitions", 1985; accuracy under the best one-to-one pairing
/// (assign_largest), which with more clusters than classes leaves clusters without a class, whose samples count as
/// wrong. Throws InvalidInput unless `clusters` and `classes` have the same size, 1 or more, and entries from 0 to
/// 999,999. O(n + c k + min(c, k)^2 max(c, k)) for c clusters and k classes, both counted up to the largest number.
[[nodiscard]] inline ClusterAgreement cluster_agreement(VectorView<const int> clusters, VectorView<const int> classes) {
  detail::require(clusters.size >= 1, "clusters: none found, 1 or more wanted");
  const Index rows = detail::check_labels("clusters", clusters, clusters.size);
  const Index cols = detail::check_labels("classes", classes, clusters.size);
  // Numbers without a sample are left out: of 3000 prototypes perhaps 300 are in use.
  std::vector<Index> row_of(static_cast<std::size_t>(rows), -1), col_of(static_cast<std::size_t>(cols), -1);
  ClusterAgreement result;
  for (Index i = 0; i < clusters.size; ++i) {
    Index& row = row_of[static_cast<std::size_t>(clusters[i])];
    Index& col = col_of[static_cast<std::size_t>(classes[i])];
    if (row < 0) row = result.clusters++;
    if (col < 0) col = result.classes++;
  }
  std::vector<double> table(static_cast<std::size_t>(result.clusters * result.classes));
  std::vector<double> row_sums(static_cast<std::size_t>(result.clusters)),
      col_sums(static_cast<std::size_t>(result.classes));
  const MatrixView<double> counts(table.data(), result.clusters, result.classes);
  for (Index i = 0; i < clusters.size; ++i) {
    const Index row = row_of[static_cast<std::size_t>(clusters[i])];
    const Index col = col_of[static_cast<std::size_t>(classes[i])];
    ++counts(row, col);
    ++row_sums[static_cast<std::size_t>(row)];
    ++col_sums[static_cast<std::size_t>(col)];
  }

  const auto n = static_cast<double>(clusters.size);
  const auto entropy_of = [&](const std::vector<double>& sums) {
    double entropy = 0;
    for (const double sum : sums) entropy -= sum / n * std::log(sum / n);
    return entropy;
  };
  const auto pairs = [](double count) { return count * (count - 1) / 2; };
  double information = 0, pairs_in_both = 0, pairs_in_clusters = 0, pairs_in_classes = 0, in_largest = 0;
  for (Index r = 0; r < counts.rows; ++r) {
    double largest = 0;
    for (Index c = 0; c < counts.cols; ++c) {
      const double count = counts(r, c);
      largest = std::max(largest, count);
      pairs_in_both += pairs(count);
      if (count > 0)
        information +=
            count / n *
            std::log(count * n / (row_sums[static_cast<std::size_t>(r)] * col_sums[static_cast<std::size_t>(c)]));
    }
    in_largest += largest;
  }
  for (const double sum : row_sums) pairs_in_clusters += pairs(sum);
  for (const double sum : col_sums) pairs_in_classes += pairs(sum);

  const double mean_entropy = (entropy_of(row_sums) + entropy_of(col_sums)) / 2;
  result.nmi = mean_entropy > 0 ? std::clamp(information / mean_entropy, 0.0, 1.0) : 1.0;
  // Without a pair there is none to disagree on; likewise where all agree and chance would, too.
  const double expected = clusters.size > 1 ? pairs_in_clusters * pairs_in_classes / pairs(n) : 0;
  const double most = (pairs_in_clusters + pairs_in_classes) / 2;
  result.ari = most != expected ? (pairs_in_both - expected) / (most - expected) : 1.0;
  result.purity = in_largest / n;

  const std::vector<Index> pairing = assign_largest(MatrixView<const double>(counts));
  double right = 0;
  for (Index r = 0; r < counts.rows; ++r)
    if (const Index c = pairing[static_cast<std::size_t>(r)]; c >= 0) right += counts(r, c);
  result.accuracy = right / n;
  return result;
}

}  // namespace swav
