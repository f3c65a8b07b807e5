// The nearest-neighbour pass by Thrust. In: train and test features in the policy's memory. Out: see
// evaluate/passes.hpp. Each element of work keeps, in order, the best of some of the train rows for one test row; then
// each test row's lists are merged while its neighbours vote.
#pragma once

#include <thrust/functional.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/backend/thrust/scaled_norm.hpp"
#include "swav/core/host_device.hpp"
#include "swav/evaluate/passes.hpp"

namespace swav {
namespace detail {

/// A row of features times the reciprocal of its norm, which is at least 1e-12, as in PyTorch's normalize.
template <class Scalar>
struct UnitRow {
  const Scalar* row;
  double scale;
  SWAV_HOST_DEVICE UnitRow(const Scalar* features, double norm)
      : row(features), scale(1 / (norm > 1e-12 ? norm : 1e-12)) {}
  SWAV_HOST_DEVICE Scalar operator[](Index c) const { return static_cast<Scalar>(static_cast<double>(row[c]) * scale); }
};

/// A finite value vanishes, and nothing else does.
struct TimesZero {
  const double* values;
  SWAV_HOST_DEVICE double operator()(Index i) const { return values[i] * 0.0; }
};

/// For a block of test rows: lists of the `neighbors` most similar of each part of the train rows, the earlier of
/// equals, in descending order; -inf where a part has fewer. Parts are in the order of their rows.
template <class Scalar>
struct NearestOfPart {
  MatrixView<const Scalar> train, test;
  const double *train_norms, *test_norms;
  Index parts, neighbors;
  Scalar* similarities;  // test rows x parts x neighbors
  Index* rows;           // likewise
  SWAV_HOST_DEVICE void operator()(Index test_row, Index part) const {
    Scalar* const nearest = similarities + (test_row * parts + part) * neighbors;
    Index* const places = rows + (test_row * parts + part) * neighbors;
    for (Index i = 0; i < neighbors; ++i) nearest[i] = -std::numeric_limits<Scalar>::infinity();
    const UnitRow<Scalar> x(test.row(test_row), test_norms[test_row]);
    for (Index r = train.rows * part / parts; r < train.rows * (part + 1) / parts; ++r) {
      const UnitRow<Scalar> y(train.row(r), train_norms[r]);
      Scalar similarity = 0;
      for (Index c = 0; c < train.cols; ++c) similarity += x[c] * y[c];
      if (!(similarity > nearest[neighbors - 1])) continue;
      Index at = neighbors - 1;
      for (; at > 0 && similarity > nearest[at - 1]; --at) {
        nearest[at] = nearest[at - 1];
        places[at] = places[at - 1];
      }
      nearest[at] = similarity;
      places[at] = r;
    }
  }
};

/// A test row's class, from its lists: the one of largest total weight, exp((similarity - largest)/temperature) a
/// neighbour; the lowest of equals.
template <class Scalar>
struct VoteOfNearest {
  const int* labels;
  Index parts, neighbors;
  double temperature;
  const Scalar* similarities;
  const Index* rows;
  Index* heads;     // test rows x parts
  int* classes;     // test rows x neighbors
  double* weights;  // likewise
  int* predictions;
  SWAV_HOST_DEVICE void operator()(Index test_row) const {
    const Scalar* const nearest = similarities + test_row * parts * neighbors;
    const Index* const places = rows + test_row * parts * neighbors;
    Index* const head = heads + test_row * parts;
    int* const of_class = classes + test_row * neighbors;
    double* const weight = weights + test_row * neighbors;
    for (Index part = 0; part < parts; ++part) head[part] = 0;
    Index count = 0;
    Scalar largest = 0;
    for (Index i = 0; i < neighbors; ++i) {
      Index best = -1;
      for (Index part = 0; part < parts; ++part)
        if (head[part] < neighbors &&
            (best < 0 || nearest[part * neighbors + head[part]] > nearest[best * neighbors + head[best]]))
          best = part;
      const Index place = best * neighbors + head[best]++;
      if (i == 0) largest = nearest[place];
      const int label = labels[places[place]];
      Index c = 0;
      while (c < count && of_class[c] != label) ++c;
      if (c == count) {
        of_class[count] = label;
        weight[count++] = 0;
      }
      weight[c] += std::exp(static_cast<double>(nearest[place] - largest) / temperature);
    }
    Index best = 0;
    for (Index c = 1; c < count; ++c)
      if (weight[c] > weight[best] || (weight[c] == weight[best] && of_class[c] < of_class[best])) best = c;
    predictions[test_row] = of_class[best];
  }
};

}  // namespace detail

template <class Policy>
struct KnnPasses<ThrustDevice<Policy>> {
  using Device = ThrustDevice<Policy>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  template <class Scalar>
  static bool classify(const Device& device, MatrixView<const Scalar> train, VectorView<const int> train_labels,
                       MatrixView<const Scalar> test, Index neighbors, double temperature, int* predictions) {
    const Device own(device);  // another thread may use the device's scratch
    Buffer<double> train_norms, test_norms, weights;
    if (!measure(own, train, train_norms) || !measure(own, test, test_norms)) return false;
    const Index parts = std::clamp<Index>(train.rows / least_rows, 1, most_parts);
    const Index block_rows = std::clamp<Index>(list_entries / (parts * neighbors), 1, test.rows);
    Buffer<Scalar> similarities;
    Buffer<Index> rows, heads;
    Buffer<int> labels, classes, found;
    labels.reserve(train.rows);
    detail::upload(device.policy(), train_labels.data, train.rows, labels.data());
    found.reserve(test.rows);
    const detail::NearestOfPart<Scalar> nearest{train,
                                                test,
                                                train_norms.data(),
                                                test_norms.data(),
                                                parts,
                                                neighbors,
                                                similarities.reserve(block_rows * parts * neighbors),
                                                rows.reserve(block_rows * parts * neighbors)};
    const detail::VoteOfNearest<Scalar> vote{labels.data(),
                                             parts,
                                             neighbors,
                                             temperature,
                                             nearest.similarities,
                                             nearest.rows,
                                             heads.reserve(block_rows * parts),
                                             classes.reserve(block_rows * neighbors),
                                             weights.reserve(block_rows * neighbors),
                                             found.data()};
    for (Index first = 0; first < test.rows; first += block_rows) {
      const Index count = std::min(block_rows, test.rows - first);
      detail::NearestOfPart<Scalar> of_block = nearest;
      of_block.test = test.middle_rows(first, count);
      of_block.test_norms += first;
      detail::VoteOfNearest<Scalar> votes = vote;
      votes.predictions += first;
      detail::for_each_entry(device.policy(), count, parts, of_block);
      detail::for_each_index(device.policy(), count, votes);
    }
    detail::download(device.policy(), found.data(), test.rows, predictions);
    return true;
  }

 private:
  static constexpr Index least_rows = 512, most_parts = 32;  // of a part, of the train rows
  static constexpr Index list_entries = Index{1} << 22;      // of all lists of a block

  /// The rows' norms; false if one is not finite.
  template <class Scalar>
  static bool measure(const Device& device, MatrixView<const Scalar> features, Buffer<double>& norms) {
    double* const found = norms.reserve(features.rows);
    detail::reduce_rows(device, features.rows, features.cols, detail::EntryAsNorm<Scalar, double>{features},
                        detail::AddScaledNorms<double>(), found);
    return detail::reduce_indices(device, features.rows, detail::TimesZero{found}, 0.0, thrust::plus<double>()) == 0;
  }
};

}  // namespace swav
