// Clusters, their agreement with classes, and assignments. In: golden files by scikit-learn and SciPy, small problems.
// Out: equality with these and with all possibilities tried.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include "swav/evaluate/clustering.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "golden.hpp"
#include "problems.hpp"
#include "swav/evaluate/kmeans.hpp"

namespace {

using namespace swav;
using namespace swav::test;

std::vector<int> integers(const RowMatrix<double>& row) {
  return std::vector<int>(row.data(), row.data() + row.size());
}

double total(const RowMatrix<double>& gains, const std::vector<Index>& columns) {
  double sum = 0;
  for (Index r = 0; r < gains.rows(); ++r)
    if (columns[static_cast<std::size_t>(r)] >= 0) sum += gains(r, columns[static_cast<std::size_t>(r)]);
  return sum;
}

void check_distinct(const RowMatrix<double>& gains, const std::vector<Index>& columns) {
  REQUIRE(static_cast<Index>(columns.size()) == gains.rows());
  std::set<Index> used;
  for (const Index column : columns) {
    if (column < 0) continue;
    CHECK(column < gains.cols());
    CHECK(used.insert(column).second);
  }
  CHECK(static_cast<Index>(used.size()) == std::min(gains.rows(), gains.cols()));
}

/// The largest total over all ways to give the columns to the rows.
double best_by_trying(const RowMatrix<double>& gains) {
  if (gains.rows() > gains.cols()) return best_by_trying(gains.transpose());
  std::vector<Index> columns(static_cast<std::size_t>(gains.cols()));
  std::iota(columns.begin(), columns.end(), Index{0});
  double best = -std::numeric_limits<double>::infinity();
  do best = std::max(best, total(gains, columns));
  while (std::next_permutation(columns.begin(), columns.end()));
  return best;
}

}  // namespace

TEST_CASE("assign_largest finds the best of all assignments, whatever the shape, with ties and negative gains") {
  Generator generator(3);
  for (Index rows = 1; rows <= 6; ++rows)
    for (Index cols = 1; cols <= 6; ++cols)
      for (const double grid : {0.0, 1.0}) {
        RowMatrix<double> gains = normal_matrix(rows, cols, generator) * 3;
        if (grid > 0) gains = gains.array().round();
        const std::vector<Index> columns = assign_largest(MatrixView<const double>(gains));
        check_distinct(gains, columns);
        INFO(rows << " x " << cols);
        CHECK(total(gains, columns) == doctest::Approx(best_by_trying(gains)).epsilon(1e-12));
      }
}

TEST_CASE("assign_largest reaches SciPy's totals") {
  const GoldenArrays golden = load_golden("clustering.bin");
  for (const char* shape : {"30_30", "20_45", "45_20", "1_9", "9_1"}) {
    const RowMatrix<double>& gains = golden.at(std::string("gains_") + shape);
    const std::vector<Index> columns = assign_largest(MatrixView<const double>(gains));
    check_distinct(gains, columns);
    CHECK(total(gains, columns) == doctest::Approx(golden.at(std::string("total_") + shape)(0, 0)).epsilon(1e-12));
  }
}

TEST_CASE("the agreement of clusters and classes is scikit-learn's") {
  const GoldenArrays golden = load_golden("clustering.bin");
  for (const std::string name : {"good", "random", "many", "few", "single", "same", "gaps"}) {
    const ClusterAgreement found =
        cluster_agreement(integers(golden.at(name + ".clusters")), integers(golden.at(name + ".classes")));
    const RowMatrix<double>& wanted = golden.at(name + ".wanted");
    INFO(name << ": NMI " << found.nmi << ", ARI " << found.ari << ", accuracy " << found.accuracy << ", purity "
              << found.purity << "; wanted " << wanted);
    CHECK(std::abs(found.nmi - wanted(0)) < 1e-12);
    CHECK(std::abs(found.ari - wanted(1)) < 1e-12);
    CHECK(std::abs(found.accuracy - wanted(2)) < 1e-12);
    CHECK(std::abs(found.purity - wanted(3)) < 1e-12);
    CHECK(found.clusters == static_cast<Index>(wanted(4)));
    CHECK(found.classes == static_cast<Index>(wanted(5)));
  }
}

TEST_CASE("agreement in cases known by hand, and of input that has none") {
  const auto agreement = [](std::vector<int> clusters, std::vector<int> classes) {
    return cluster_agreement(clusters, classes);
  };
  const ClusterAgreement one = agreement({5}, {2});
  CHECK(one.nmi == 1);
  CHECK(one.ari == 1);
  CHECK(one.accuracy == 1);
  const ClusterAgreement all = agreement({1, 1, 1}, {0, 0, 0});
  CHECK(all.nmi == 1);
  CHECK(all.ari == 1);
  // Two clusters a class: one of each pair is left without a class, but pure.
  const ClusterAgreement split = agreement({0, 0, 0, 1, 2, 2, 2, 3}, {0, 0, 0, 0, 1, 1, 1, 1});
  CHECK(split.accuracy == doctest::Approx(0.75));
  CHECK(split.purity == 1);
  // Each class in each cluster: nothing is learned; below what chance would give.
  const ClusterAgreement crossed = agreement({0, 0, 1, 1}, {0, 1, 0, 1});
  CHECK(crossed.nmi == 0);
  CHECK(crossed.ari == doctest::Approx(-0.5));

  CHECK_THROWS_AS(agreement({}, {}), InvalidInput);
  CHECK_THROWS_AS(agreement({0, 1}, {0}), InvalidInput);
  CHECK_THROWS_AS(agreement({0, -1}, {0, 0}), InvalidInput);
  CHECK_THROWS_AS(agreement({0, 1}, {0, 1'000'000}), InvalidInput);
  const RowMatrix<double> bad{{0.0, std::numeric_limits<double>::quiet_NaN()}};
  CHECK_THROWS_AS(assign_largest(MatrixView<const double>(bad)), InvalidInput);
  CHECK(assign_largest(MatrixView<const double>(bad.data(), 0, 0)).empty());
}

TEST_CASE("spherical k-means finds the best of all clusterings of a few points") {
  Generator generator(11);
  for (int problem = 0; problem < 5; ++problem) {
    const RowMatrix<double> points = normal_matrix(9, 3, generator);
    const RowMatrix<double> unit = unit_rows(points);
    double best = 0;  // of all ways to make two groups: a group's total cosine with its mean direction is |sum|
    for (unsigned mask = 0; mask < 1u << 9; ++mask) {
      Eigen::RowVector3d sums[2] = {Eigen::RowVector3d::Zero(), Eigen::RowVector3d::Zero()};
      for (Index r = 0; r < 9; ++r) sums[(mask >> r) & 1u] += unit.row(r);
      best = std::max(best, (sums[0].norm() + sums[1].norm()) / 9);
    }
    const KMeansResult<double> found = spherical_kmeans<double>(points, {.clusters = 2, .starts = 30, .seed = 1});
    CHECK(found.similarity == doctest::Approx(best).epsilon(1e-12));
    for (Index r = 0; r < 9; ++r) {
      const Index cluster = found.clusters[static_cast<std::size_t>(r)];
      CHECK(unit.row(r).dot(found.centres.row(cluster)) >= unit.row(r).dot(found.centres.row(1 - cluster)));
    }
  }
}

TEST_CASE("spherical k-means recovers groups, repeats for any number of threads and fills empty clusters") {
  Generator generator(5);
  RowMatrix<float> features = normal_matrix(600, 12, generator).cast<float>();
  const RowMatrix<float> directions = normal_matrix(6, 12, generator).cast<float>();
  std::vector<int> groups;
  for (Index r = 0; r < features.rows(); ++r) {
    groups.push_back(static_cast<int>(r * r % 7 % 6));
    features.row(r) = (0.1f * features.row(r) + directions.row(groups.back())) * static_cast<float>(r % 5 + 1);
  }
  const KMeansOptions options{.clusters = 6, .starts = 5, .seed = 2};
  const KMeansResult<float> found = spherical_kmeans<float>(features, options, EigenDevice(1));
  const std::set<int> distinct(groups.begin(), groups.end());
  CHECK(spherical_kmeans<float>(features, {.clusters = static_cast<Index>(distinct.size()), .starts = 5}).similarity >
        0.9);
  CHECK(cluster_agreement(found.clusters, groups).purity == 1);
  for (const int threads : {2, 5}) {
    const KMeansResult<float> again = spherical_kmeans<float>(features, options, EigenDevice(threads));
    CHECK(again.clusters == found.clusters);
    CHECK(again.centres == found.centres);
  }
  // Three distinct points for five clusters: two stay empty, and nothing fails.
  const RowMatrix<float> few{{1, 0}, {1, 0}, {0, 1}, {0, 1}, {-1, 0}, {0, 0}};
  const KMeansResult<float> spare = spherical_kmeans<float>(few, {.clusters = 5, .starts = 1});
  CHECK(cluster_agreement(spare.clusters, std::vector<int>{0, 0, 1, 1, 2, 3}).purity >= 5.0 / 6);
  CHECK(spare.centres.allFinite());

  CHECK_THROWS_AS(spherical_kmeans<float>(few, {.clusters = 7}), InvalidInput);
  CHECK_THROWS_AS(spherical_kmeans<float>(few, {.clusters = 0}), InvalidInput);
  CHECK_THROWS_AS(spherical_kmeans<float>(few, {.clusters = 2, .max_iterations = 0}), InvalidInput);
  CHECK_THROWS_AS(spherical_kmeans<float>(few, {.clusters = 2, .starts = 0}), InvalidInput);
  RowMatrix<float> bad = few;
  bad(1, 1) = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(spherical_kmeans<float>(bad, {.clusters = 2}), InvalidInput);
}
