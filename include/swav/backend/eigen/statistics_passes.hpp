// The statistics' passes on the CPU. In: features, prototypes. Out: see evaluate/passes.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>

#include "swav/backend/eigen/column_sums.hpp"
#include "swav/backend/eigen/product.hpp"
#include "swav/backend/eigen/row_norm.hpp"
#include "swav/evaluate/passes.hpp"

namespace swav {

template <class Product>
struct StatisticsPasses<BasicEigenDevice<Product>> {
  using Device = BasicEigenDevice<Product>;

  struct Workspace {
    typename Device::template Buffer<double> mean, squares, groups;
  };

  template <class Scalar>
  static bool assign(const Device& device, MatrixView<const Scalar> embeddings, MatrixView<const Scalar> prototypes,
                     int* assignments) {
    constexpr Index block_rows = 64;  // the scores of a block stay in the L2 cache
    std::atomic<bool> finite = true;
    const Index blocks = (embeddings.rows + block_rows - 1) / block_rows;
    device.for_shares(blocks, [&](int, Index first_block, Index block_count) {
      RowMatrix<Scalar> scores(block_rows, prototypes.rows);
      for (Index block = first_block; block < first_block + block_count; ++block) {
        const Index first = block * block_rows;
        const Index height = std::min(block_rows, embeddings.rows - first);
        const MatrixView<Scalar> out(scores.data(), height, prototypes.rows);
        Product::multiply(embeddings.middle_rows(first, height), Transpose::no, prototypes, Transpose::yes, Scalar(1),
                          Scalar(0), out);
        for (Index r = 0; r < height; ++r) {
          const Scalar* const row = out.row(r);
          if (!std::all_of(row, row + out.cols, [](Scalar score) { return std::isfinite(score); })) finite = false;
          assignments[first + r] = static_cast<int>(std::max_element(row, row + out.cols) - row);
        }
      }
    });
    return finite;
  }

  template <class Scalar>
  static double spread(const Device& device, MatrixView<const Scalar> features, Workspace& workspace) {
    const Index cols = features.cols;
    const auto rows = static_cast<double>(features.rows);
    const auto inverse_norm = [&](const Scalar* row) {
      const auto norm = detail::row_norm<double>(detail::ConstArrayMap<Scalar>(row, cols));
      return norm > 0 ? 1 / norm : 0.0;
    };
    double *const mean = workspace.mean.reserve(cols), *const squares = workspace.squares.reserve(cols);
    detail::column_sums(device, features.rows, cols, mean, workspace.groups, [&](Index r, double* sums) {
      const double scale = inverse_norm(features.row(r));
      for (Index c = 0; c < cols; ++c) sums[c] += static_cast<double>(features(r, c)) * scale;
    });
    for (Index c = 0; c < cols; ++c) mean[c] /= rows;
    detail::column_sums(device, features.rows, cols, squares, workspace.groups, [&](Index r, double* sums) {
      const double scale = inverse_norm(features.row(r));
      for (Index c = 0; c < cols; ++c) {
        const double off = static_cast<double>(features(r, c)) * scale - mean[c];
        sums[c] += off * off;
      }
    });
    double total = 0;
    for (Index c = 0; c < cols; ++c) total += std::sqrt(squares[c] / rows);
    return total / static_cast<double>(cols);
  }
};

}  // namespace swav
