// The swapped-prediction passes on the CPU. In: row-major host memory. Out: host memory. Each thread works through its
// rows in blocks whose scores stay in cache, and sums its own prototype gradient.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "swav/backend/eigen/product.hpp"
#include "swav/loss/passes.hpp"

namespace swav {

template <class Product>
struct LossPasses<BasicEigenDevice<Product>> {
  using Device = BasicEigenDevice<Product>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;
  template <class A>
  using Problem = SwappedPredictionProblem<A>;

  template <class A>
  struct Workspace {
    void reserve(const Problem<A>& problem, const Device& device) {
      const Index threads = device.threads();
      const Index assigned_rows = problem.assigned_count * problem.samples;
      block_rows = rows_in_cache(problem.prototypes);
      block.reserve(threads * block_rows * problem.prototypes);
      weighted_z.reserve(threads * block_rows * problem.dimension);
      row_weights.reserve(threads * block_rows);
      share_values.reserve(2 * threads);
      grad_c.reserve(problem.gradients ? threads * problem.prototypes * problem.dimension : 0);
      targets.reserve(assigned_rows * problem.dimension);
      other_views.reserve(assigned_rows * problem.dimension);
      largest_code.reserve(assigned_rows);
      used.reserve(problem.prototypes);
    }

    // Enough rows that a product reuses its packed panels, few enough that the scores stay near the core.
    static Index rows_in_cache(Index prototypes) {
      constexpr Index bytes = Index{3} << 20;
      const Index rows = bytes / (prototypes * static_cast<Index>(sizeof(A)));
      return std::clamp<Index>(rows / 16 * 16, 16, 256);
    }

    MatrixView<A> share_grad_c(const Problem<A>& problem, Index share) const {
      return {grad_c.data() + share * problem.prototypes * problem.dimension, problem.prototypes, problem.dimension};
    }

    Index block_rows = 0;
    int grad_c_shares = 0;
    Buffer<A> block, weighted_z, row_weights, grad_c, targets, other_views;
    Buffer<double> share_values;
    Buffer<Index> largest_code;
    Buffer<unsigned char> used;
  };

  template <class A>
  static double predict(const Device& device, const Problem<A>& problem, MatrixView<const A> z, MatrixView<const A> c,
                        MatrixView<A> scores, MatrixView<A> grad_z, Workspace<A>& workspace) {
    for_blocks(device, workspace, z.rows, [&](int share, Index first, Index count, bool first_block) {
      double* const value = workspace.share_values.data() + share;
      if (first_block) *value = 0;
      const Index offset = share * workspace.block_rows;
      const MatrixView<A> block(workspace.block.data() + offset * c.rows, count, c.rows);
      const MatrixView<A> weighted(workspace.weighted_z.data() + offset * c.cols, count, c.cols);
      A* const weights = workspace.row_weights.data() + offset;
      const MatrixView<const A> rows = z.middle_rows(first, count);
      Product::multiply(rows, Transpose::no, c, Transpose::yes, A(1), A(0), block);
      for (Index r = 0; r < count; ++r) {
        const Index view = (first + r) / problem.samples;
        if (problem.slot[view] >= 0) {
          const Index row = problem.slot[view] * problem.samples + (first + r) % problem.samples;
          Array<A>(scores.row(row), scores.cols) = ConstArray<A>(block.row(r), block.cols);
        }
        const SoftmaxRow<A> softmax = exponentiate(Array<A>(block.row(r), block.cols), problem.inverse_temperature);
        const A weight = problem.pair_weight * problem.predictions(view);
        *value += static_cast<double>(weight) * static_cast<double>(softmax.log_sum);
        // The softmax stays unnormalised: its scale goes onto the D-long rows on either side of the products.
        weights[r] = weight * problem.inverse_temperature / softmax.sum;
        Array<A>(weighted.row(r), weighted.cols) = weights[r] * ConstArray<A>(rows.row(r), rows.cols);
      }
      if (!problem.gradients) return;
      const MatrixView<A> gradient = grad_z.middle_rows(first, count);
      Product::multiply(MatrixView<const A>(block), Transpose::no, c, Transpose::no, A(1), A(0), gradient);
      for (Index r = 0; r < count; ++r) Array<A>(gradient.row(r), gradient.cols) *= weights[r];
      Product::multiply(MatrixView<const A>(block), Transpose::yes, MatrixView<const A>(weighted), Transpose::no, A(1),
                        first_block ? A(0) : A(1), workspace.share_grad_c(problem, share));
    });
    workspace.grad_c_shares = device.shares(z.rows);
    return sum_of_shares(workspace.share_values, device.shares(z.rows));
  }

  template <class A>
  static void sum_other_views(const Device& device, const Problem<A>& problem, MatrixView<const A> z,
                              Workspace<A>& workspace) {
    const MatrixView<A> others(workspace.other_views.data(), problem.assigned_count * problem.samples,
                               problem.dimension);
    device.for_shares(problem.samples, [&](int, Index first, Index count) {
      for (Index b = first; b < first + count; ++b) {
        for (Index i = 0; i < problem.assigned_count; ++i) {
          Array<A> sum(others.row(i * problem.samples + b), others.cols);
          sum.setZero();
          for (Index v = 0; v < problem.views; ++v)
            if (v != problem.assigned[i]) sum += ConstArray<A>(z.row(v * problem.samples + b), z.cols);
        }
      }
    });
  }

  template <class A>
  static CodeStatistics assign(const Device& device, const Problem<A>& problem, MatrixView<const A> codes,
                               MatrixView<const A> c, Workspace<A>& workspace) {
    const Index rows = codes.rows;
    double* const entropies = workspace.share_values.data();
    double* const values = workspace.share_values.data() + device.threads();
    const A scale = problem.pair_weight * problem.inverse_temperature;
    for_blocks(device, workspace, rows, [&](int share, Index first, Index count, bool first_block) {
      if (first_block) entropies[share] = values[share] = 0;
      const MatrixView<const A> block = codes.middle_rows(first, count);
      const MatrixView<A> targets(workspace.targets.data() + first * c.cols, count, c.cols);
      const MatrixView<const A> others(workspace.other_views.data() + first * c.cols, count, c.cols);
      for (Index r = 0; r < count; ++r) {
        const ConstArray<A> row(block.row(r), block.cols);
        row.maxCoeff(&workspace.largest_code.data()[first + r]);
        // log of the smallest normal number stands in for log 0: its product with the code is 0 either way.
        entropies[share] -= static_cast<double>((row * row.max(std::numeric_limits<A>::min()).log()).sum());
      }
      Product::multiply(block, Transpose::no, c, Transpose::no, A(1), A(0), targets);
      for (Index r = 0; r < count; ++r)
        values[share] += static_cast<double>(
            (ConstArray<A>(targets.row(r), targets.cols) * ConstArray<A>(others.row(r), others.cols)).sum());
      if (problem.gradients)
        Product::multiply(block, Transpose::yes, others, Transpose::no, -scale, A(1),
                          workspace.share_grad_c(problem, share));
    });
    CodeStatistics statistics;
    for (int share = 0; share < device.shares(rows); ++share) {
      statistics.value += values[share];
      statistics.entropy += entropies[share] / static_cast<double>(rows);
    }
    std::fill_n(workspace.used.data(), problem.prototypes, static_cast<unsigned char>(0));
    for (Index r = 0; r < rows; ++r) workspace.used.data()[workspace.largest_code.data()[r]] = 1;
    statistics.prototypes_used = std::count(workspace.used.data(), workspace.used.data() + problem.prototypes, 1);
    return statistics;
  }

  template <class A>
  static void swap(const Device& device, const Problem<A>& problem, MatrixView<A> grad_z,
                   const Workspace<A>& workspace) {
    const A scale = problem.pair_weight * problem.inverse_temperature;
    device.for_shares(grad_z.rows, [&](int, Index first, Index count) {
      for (Index r = first; r < first + count; ++r) {
        const Index view = r / problem.samples;
        Array<A> gradient(grad_z.row(r), grad_z.cols);
        for (Index i = 0; i < problem.assigned_count; ++i) {
          if (problem.assigned[i] == view) continue;
          const Index row = i * problem.samples + r % problem.samples;
          gradient -= scale * ConstArray<A>(workspace.targets.data() + row * grad_z.cols, grad_z.cols);
        }
      }
    });
  }

  template <class A>
  static void collect_prototype_gradient(const Device& device, const Problem<A>& problem, MatrixView<A> out,
                                         const Workspace<A>& workspace) {
    device.for_shares(out.rows, [&](int, Index first, Index count) {
      for (Index k = first; k < first + count; ++k) {
        Array<A> sum(out.row(k), out.cols);
        sum = ConstArray<A>(workspace.share_grad_c(problem, 0).row(k), out.cols);
        for (int share = 1; share < workspace.grad_c_shares; ++share)
          sum += ConstArray<A>(workspace.share_grad_c(problem, share).row(k), out.cols);
      }
    });
  }

 private:
  template <class T>
  using Array = detail::ArrayMap<T>;
  template <class T>
  using ConstArray = detail::ConstArrayMap<T>;

  template <class A>
  struct SoftmaxRow {
    A sum;      // of exp((s - max)/tau)
    A log_sum;  // logsumexp(s/tau)
  };

  template <class A>
  static SoftmaxRow<A> exponentiate(Array<A> row, A inverse_temperature) {
    const A maximum = row.maxCoeff();
    row = ((row - maximum) * inverse_temperature).exp();
    const A sum = row.sum();
    return {sum, maximum * inverse_temperature + std::log(sum)};
  }

  // Calls body(share, first, count, first_block) for blocks of at most block_rows rows, even in size within a share.
  template <class A, class Body>
  static void for_blocks(const Device& device, const Workspace<A>& workspace, Index rows, Body&& body) {
    device.for_shares(rows, [&](int share, Index share_first, Index share_count) {
      const Index blocks = (share_count + workspace.block_rows - 1) / workspace.block_rows;
      for (Index i = 0; i < blocks; ++i) {
        const Index first = share_count * i / blocks;
        const Index last = share_count * (i + 1) / blocks;
        body(share, share_first + first, last - first, i == 0);
      }
    });
  }

  static double sum_of_shares(const Buffer<double>& values, int count) {
    double sum = 0;
    for (int share = 0; share < count; ++share) sum += values.data()[share];
    return sum;
  }
};

}  // namespace swav
