// The nearest-neighbour pass on the CPU. In: train and test features. Out: see evaluate/passes.hpp. Each thread scores
// a block of test rows against a block of train rows at a time, and keeps the best of each test row in order.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "swav/backend/eigen/product.hpp"
#include "swav/backend/eigen/row_norm.hpp"
#include "swav/evaluate/passes.hpp"

namespace swav {

namespace detail {

/// The largest similarities of one test row so far, in descending order, with the rows they belong to.
template <class Scalar>
class NearestRows {
 public:
  NearestRows(Scalar* similarities, Index* rows, Index capacity)
      : similarities_(similarities), rows_(rows), capacity_(capacity) {}

  void clear() { std::fill_n(similarities_, capacity_, -std::numeric_limits<Scalar>::infinity()); }

  /// Offers the rows first, ..., first + count - 1 with these similarities. Most are no better than the worst that is
  /// kept, so a group of them is first looked at as a whole, without branches.
  void offer(const Scalar* similarities, Index first, Index count) {
    constexpr Index group = 64;
    for (Index start = 0; start < count; start += group) {
      const Index end = std::min(start + group, count);
      const Scalar bound = similarities_[capacity_ - 1];
      int better = 0;
      for (Index j = start; j < end; ++j) better += similarities[j] > bound;
      if (better == 0) continue;
      for (Index j = start; j < end; ++j) insert(similarities[j], first + j);
    }
  }

  /// The class of largest total weight, a neighbour weighing exp((similarity - largest) / temperature): the common
  /// factor changes no order, and keeps the exponential in range.
  [[nodiscard]] int vote(const int* labels, double temperature, std::vector<double>& weights,
                         std::vector<int>& classes) const {
    classes.clear();
    weights.clear();
    for (Index i = 0; i < capacity_; ++i) {
      const double weight = std::exp(static_cast<double>(similarities_[i] - similarities_[0]) / temperature);
      const auto found = std::find(classes.begin(), classes.end(), labels[rows_[i]]);
      if (found == classes.end()) {
        classes.push_back(labels[rows_[i]]);
        weights.push_back(weight);
      } else {
        weights[static_cast<std::size_t>(found - classes.begin())] += weight;
      }
    }
    std::size_t best = 0;
    for (std::size_t c = 1; c < classes.size(); ++c)
      if (weights[c] > weights[best] || (weights[c] == weights[best] && classes[c] < classes[best])) best = c;
    return classes[best];
  }

 private:
  void insert(Scalar similarity, Index row) {
    if (!(similarity > similarities_[capacity_ - 1])) return;
    Index at = capacity_ - 1;
    for (; at > 0 && similarity > similarities_[at - 1]; --at) {
      similarities_[at] = similarities_[at - 1];
      rows_[at] = rows_[at - 1];
    }
    similarities_[at] = similarity;
    rows_[at] = row;
  }

  Scalar* similarities_;
  Index* rows_;
  Index capacity_;
};

}  // namespace detail

template <class Product>
struct KnnPasses<BasicEigenDevice<Product>> {
  using Device = BasicEigenDevice<Product>;

  template <class Scalar>
  static bool classify(const Device& device, MatrixView<const Scalar> train, VectorView<const int> train_labels,
                       MatrixView<const Scalar> test, Index neighbors, double temperature, int* predictions) {
    std::vector<double> scales(static_cast<std::size_t>(train.rows));
    std::atomic<bool> finite = true;
    device.for_shares(train.rows, [&](int, Index first, Index count) {
      for (Index r = first; r < first + count; ++r)
        if (!measure(train, r, scales[static_cast<std::size_t>(r)])) finite = false;
    });
    if (!finite) return false;

    // Blocks are the same for any number of threads, and so is the rounding of the products.
    const Index blocks = (test.rows + test_block - 1) / test_block;
    device.for_shares(blocks, [&](int, Index first_block, Index block_count) {
      RowMatrix<Scalar> unit(test_block, test.cols);
      RowMatrix<Scalar> unit_train(std::min(train_block, train.rows), train.cols);
      RowMatrix<Scalar> scores(test_block, train_block);
      RowMatrix<Scalar> similarities(test_block, neighbors);
      RowMatrix<Index> rows(test_block, neighbors);
      std::vector<double> weights;
      std::vector<int> classes;
      for (Index block = first_block; block < first_block + block_count; ++block) {
        const Index first = block * test_block;
        const Index count = std::min(test_block, test.rows - first);
        for (Index r = 0; r < count; ++r) {
          double scale = 0;
          if (!measure(test, first + r, scale)) {
            finite = false;
            return;
          }
          normalize(test, first + r, scale, unit, r);
        }
        for (Index r = 0; r < count; ++r) nearest(similarities, rows, r).clear();
        const MatrixView<const Scalar> left(unit.data(), count, test.cols);
        for (Index start = 0; start < train.rows; start += train_block) {
          const Index width = std::min(train_block, train.rows - start);
          const MatrixView<Scalar> out(scores.data(), count, width, train_block);
          // Scaled anew for each block of test rows: little beside the product, and no copy of all of them.
          for (Index r = 0; r < width; ++r)
            normalize(train, start + r, scales[static_cast<std::size_t>(start + r)], unit_train, r);
          const MatrixView<const Scalar> right(unit_train.data(), width, train.cols);
          Product::multiply(left, Transpose::no, right, Transpose::yes, Scalar(1), Scalar(0), out);
          for (Index r = 0; r < count; ++r) nearest(similarities, rows, r).offer(out.row(r), start, width);
        }
        for (Index r = 0; r < count; ++r)
          predictions[first + r] =
              nearest(similarities, rows, r).vote(train_labels.data, temperature, weights, classes);
      }
    });
    return finite;
  }

 private:
  // Large enough that a product outweighs packing its operands, small enough that the scores stay in the L2 cache.
  static constexpr Index test_block = 128;
  static constexpr Index train_block = 1024;

  template <class Scalar>
  static detail::NearestRows<Scalar> nearest(RowMatrix<Scalar>& similarities, RowMatrix<Index>& rows, Index r) {
    return {similarities.data() + r * similarities.cols(), rows.data() + r * rows.cols(), similarities.cols()};
  }

  // The reciprocal of a row's norm, which is at least 1e-12, as in PyTorch's normalize. False if it is not finite.
  template <class Scalar>
  static bool measure(MatrixView<const Scalar> rows, Index r, double& scale) {
    const auto norm = detail::row_norm<double>(detail::ConstArrayMap<Scalar>(rows.row(r), rows.cols));
    scale = 1 / std::max(norm, 1e-12);
    return std::isfinite(norm);
  }

  template <class Scalar>
  static void normalize(MatrixView<const Scalar> rows, Index r, double scale, RowMatrix<Scalar>& unit, Index to) {
    const detail::ConstArrayMap<Scalar> row(rows.row(r), rows.cols);
    unit.row(to).array() = (row.template cast<double>() * scale).template cast<Scalar>();
  }
};

}  // namespace swav
