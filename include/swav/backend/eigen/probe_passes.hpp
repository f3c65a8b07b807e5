// The linear probe's passes on the CPU. In: features. Out: see evaluate/passes.hpp. Rows are cut into groups whose
// number depends on the sizes alone; each group sums by itself, and the groups are added in order.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <span>
#include <vector>

#include "swav/backend/eigen/column_sums.hpp"
#include "swav/backend/eigen/product.hpp"
#include "swav/evaluate/passes.hpp"

namespace swav {

template <class Product>
struct ProbePasses<BasicEigenDevice<Product>> {
  using Device = BasicEigenDevice<Product>;

  template <class Scalar>
  struct Workspace {
    typename Device::template Buffer<Scalar> scores, rows, gradients;
    typename Device::template Buffer<double> losses;
  };

  template <class Scalar>
  static bool moments(const Device& device, MatrixView<const Scalar> features, double* mean, double* deviation) {
    const auto rows = static_cast<double>(features.rows);
    typename Device::template Buffer<double> storage;
    detail::column_sums(device, features.rows, features.cols, mean, storage, [&](Index r, double* sums) {
      for (Index c = 0; c < features.cols; ++c) sums[c] += static_cast<double>(features(r, c));
    });
    for (Index c = 0; c < features.cols; ++c) mean[c] /= rows;
    detail::column_sums(device, features.rows, features.cols, deviation, storage, [&](Index r, double* sums) {
      for (Index c = 0; c < features.cols; ++c) {
        const double off = static_cast<double>(features(r, c)) - mean[c];
        sums[c] += off * off;
      }
    });
    bool finite = true;
    for (Index c = 0; c < features.cols; ++c) {
      deviation[c] = std::sqrt(deviation[c] / std::max(rows - 1, 1.0));
      finite = finite && std::isfinite(deviation[c]);
    }
    return finite;
  }

  template <class Scalar>
  static void design(const Device& device, MatrixView<const Scalar> features, const double* mean,
                     const double* inverse_deviation, MatrixView<Scalar> design) {
    device.for_shares(features.rows, [&](int, Index first, Index count) {
      for (Index r = first; r < first + count; ++r)
        design_row(features.row(r), features.cols, mean, inverse_deviation, design.row(r), design.cols);
    });
  }

  template <class Scalar>
  static double cross_entropy(const Device& device, MatrixView<const Scalar> design, VectorView<const int> labels,
                              std::span<const Index> rows, MatrixView<const Scalar> weights, double* gradient,
                              Workspace<Scalar>& workspace) {
    const Index count = rows.empty() ? design.rows : static_cast<Index>(rows.size());
    const Index blocks = (count + block_rows - 1) / block_rows;
    const Index groups = std::min(blocks, most_groups);
    Scalar* const scores = workspace.scores.reserve(device.threads() * block_rows * weights.rows);
    Scalar* const gathered =
        rows.empty() ? nullptr : workspace.rows.reserve(device.threads() * block_rows * design.cols);
    Scalar* const gradients = workspace.gradients.reserve(groups * weights.size());
    double* const losses = workspace.losses.reserve(groups);
    // A batch of SGD is done sooner than threads have met, most of all where other programs use the processors too.
    const Device workers = count * weights.size() < least_threaded ? Device(1) : device;
    workers.for_shares(groups, [&](int thread, Index first_group, Index group_count) {
      for (Index group = first_group; group < first_group + group_count; ++group) {
        losses[group] = 0;
        const MatrixView<Scalar> sum(gradients + group * weights.size(), weights.rows, weights.cols);
        for (Index block = blocks * group / groups; block < blocks * (group + 1) / groups; ++block) {
          const Index first = block * block_rows;
          const Index height = std::min(block_rows, count - first);
          MatrixView<const Scalar> x = design.middle_rows(first, height);
          if (gathered != nullptr)
            x = gather(design, rows.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(height)),
                       gathered + thread * block_rows * design.cols);
          const MatrixView<Scalar> p(scores + thread * block_rows * weights.rows, height, weights.rows);
          Product::multiply(x, Transpose::no, weights, Transpose::yes, Scalar(1), Scalar(0), p);
          for (Index r = 0; r < height; ++r) {
            const Index row = rows.empty() ? first + r : rows[static_cast<std::size_t>(first + r)];
            losses[group] += softmax_minus_label(p.row(r), p.cols, labels[row]);
          }
          const Scalar beta = block == blocks * group / groups ? Scalar(0) : Scalar(1);
          Product::multiply(MatrixView<const Scalar>(p), Transpose::yes, x, Transpose::no, Scalar(1), beta, sum);
        }
      }
    });
    const double scale = 1 / static_cast<double>(count);
    double loss = 0;
    for (Index group = 0; group < groups; ++group) loss += losses[group];
    for (Index i = 0; i < weights.size(); ++i) {
      double sum = 0;
      for (Index group = 0; group < groups; ++group) sum += static_cast<double>(gradients[group * weights.size() + i]);
      gradient[i] = sum * scale;
    }
    return loss * scale;
  }

  template <class Scalar>
  static bool predict(const Device& device, MatrixView<const Scalar> features, const double* mean,
                      const double* inverse_deviation, MatrixView<const Scalar> weights, int* predictions) {
    std::atomic<bool> finite = true;
    const Index blocks = (features.rows + block_rows - 1) / block_rows;
    device.for_shares(blocks, [&](int, Index first_block, Index block_count) {
      RowMatrix<Scalar> x(block_rows, weights.cols), scores(block_rows, weights.rows);
      for (Index block = first_block; block < first_block + block_count; ++block) {
        const Index first = block * block_rows;
        const Index height = std::min(block_rows, features.rows - first);
        for (Index r = 0; r < height; ++r)
          design_row(features.row(first + r), features.cols, mean, inverse_deviation, x.row(r).data(), x.cols());
        const MatrixView<Scalar> out(scores.data(), height, weights.rows);
        Product::multiply(MatrixView<const Scalar>(x.data(), height, x.cols()), Transpose::no, weights, Transpose::yes,
                          Scalar(1), Scalar(0), out);
        for (Index r = 0; r < height; ++r) {
          if (!std::all_of(out.row(r), out.row(r) + out.cols, [](Scalar score) { return std::isfinite(score); }))
            finite = false;
          predictions[first + r] = static_cast<int>(std::max_element(out.row(r), out.row(r) + out.cols) - out.row(r));
        }
      }
    });
    return finite;
  }

 private:
  static constexpr Index block_rows = 64;
  static constexpr Index most_groups = 32;
  static constexpr Index least_threaded = Index{1} << 22;  // multiplications

  template <class Scalar>
  static void design_row(const Scalar* features, Index count, const double* mean, const double* inverse_deviation,
                         Scalar* row, Index width) {
    for (Index c = 0; c < count; ++c)
      row[c] = static_cast<Scalar>((static_cast<double>(features[c]) - mean[c]) * inverse_deviation[c]);
    row[count] = Scalar(1);
    std::fill(row + count + 1, row + width, Scalar(0));
  }

  template <class Scalar>
  static MatrixView<const Scalar> gather(MatrixView<const Scalar> design, std::span<const Index> rows, Scalar* to) {
    for (std::size_t r = 0; r < rows.size(); ++r)
      std::copy_n(design.row(rows[r]), design.cols, to + static_cast<Index>(r) * design.cols);
    return {to, static_cast<Index>(rows.size()), design.cols};
  }

  /// scores := softmax(scores) - onehot(label); returns -log softmax(scores)[label].
  template <class Scalar>
  static double softmax_minus_label(Scalar* scores, Index classes, int label) {
    const Scalar most = *std::max_element(scores, scores + classes);
    const Scalar chosen = scores[label] - most;
    Scalar sum = 0;
    for (Index k = 0; k < classes; ++k) {
      scores[k] = std::exp(scores[k] - most);
      sum += scores[k];
    }
    for (Index k = 0; k < classes; ++k) scores[k] /= sum;
    scores[label] -= Scalar(1);
    return static_cast<double>(std::log(sum) - chosen);
  }
};

}  // namespace swav
