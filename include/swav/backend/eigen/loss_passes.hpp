// The swapped-prediction passes on the CPU. In: row-major host memory. Out: host memory. Each thread works through its
// rows in blocks whose scores stay in cache, and sums its own prototype gradient.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "swav/backend/eigen/arg_max.hpp"
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
      block_rows = rows_in_cache(problem.prototypes);
      block.reserve(threads * block_rows * problem.prototypes);
      share_values.reserve(threads);
      grad_c.reserve(problem.gradients ? threads * problem.prototypes * problem.dimension : 0);
      largest_code.reserve(problem.assigned_count * problem.samples);
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
    Buffer<A> block, grad_c;
    Buffer<double> share_values;
    Buffer<Index> largest_code;
    Buffer<A> used;  // 1 or 0
  };

  template <class A>
  static void score(const Device& device, const Problem<A>& problem, MatrixView<const A> z, MatrixView<const A> c,
                    MatrixView<A> scores, const Workspace<A>& workspace) {
    device.for_shares(scores.rows, [&](int, Index share_first, Index share_count) {
      for (Index first = share_first, count; first < share_first + share_count; first += count) {
        const Index sample = first % problem.samples;
        count = std::min({workspace.block_rows, share_first + share_count - first, problem.samples - sample});
        const Index view = problem.assigned[first / problem.samples];
        Product::multiply(z.middle_rows(view * problem.samples + sample, count), Transpose::no, c, Transpose::yes, A(1),
                          A(0), scores.middle_rows(first, count));
      }
    });
  }

  template <class A>
  static double predict(const Device& device, const Problem<A>& problem, MatrixView<const A> z, MatrixView<const A> c,
                        MatrixView<const A> scores, MatrixView<const A> codes, MatrixView<A> grad_z,
                        Workspace<A>& workspace) {
    const bool reuse_scores = scores.data != nullptr;
    const Index cost = total_cost(problem, reuse_scores);
    const A scale = problem.pair_weight * problem.inverse_temperature;
    device.for_shares(cost, [&](int share, Index cost_first, Index cost_count) {
      double value = 0;
      const Index rows_first = row_at_cost(problem, reuse_scores, cost_first);
      const Index rows = row_at_cost(problem, reuse_scores, cost_first + cost_count) - rows_first;
      if (rows == 0 && problem.gradients) detail::as_eigen(workspace.share_grad_c(problem, share)).setZero();
      const Index blocks = (rows + workspace.block_rows - 1) / workspace.block_rows;
      for (Index i = 0; i < blocks; ++i) {
        const Index first = rows_first + rows * i / blocks;
        const Index count = rows_first + rows * (i + 1) / blocks - first;
        const MatrixView<A> block(workspace.block.data() + share * workspace.block_rows * c.rows, count, c.rows);
        load_scores(problem, z, c, scores, first, block);
        for (Index r = 0; r < count; ++r)
          value += swapped_gradient_row(problem, first + r, codes, Array<A>(block.row(r), block.cols));
        if (!problem.gradients) continue;
        const MatrixView<const A> gradient = block;
        Product::multiply(gradient, Transpose::no, c, Transpose::no, scale, A(0), grad_z.middle_rows(first, count));
        Product::multiply(gradient, Transpose::yes, z.middle_rows(first, count), Transpose::no, scale,
                          i == 0 ? A(0) : A(1), workspace.share_grad_c(problem, share));
      }
      workspace.share_values.data()[share] = value;
    });
    workspace.grad_c_shares = device.shares(cost);
    double value = 0;
    for (int share = 0; share < workspace.grad_c_shares; ++share) value += workspace.share_values.data()[share];
    return static_cast<double>(problem.pair_weight) * value;
  }

  template <class A>
  static CodeStatistics code_statistics(const Device& device, const Problem<A>& problem, MatrixView<const A> codes,
                                        Workspace<A>& workspace) {
    double* const entropies = workspace.share_values.data();
    device.for_shares(codes.rows, [&](int share, Index first, Index count) {
      double entropy = 0;
      for (Index r = first; r < first + count; ++r) {
        const ConstArray<A> row(codes.row(r), codes.cols);
        workspace.largest_code.data()[r] = detail::arg_max(row);
        // log of the smallest normal number stands in for log 0: its product with the code is 0 either way.
        entropy -= static_cast<double>((row * row.max(std::numeric_limits<A>::min()).log()).sum());
      }
      entropies[share] = entropy;
    });
    CodeStatistics statistics;
    for (int share = 0; share < device.shares(codes.rows); ++share)
      statistics.entropy += entropies[share] / static_cast<double>(codes.rows);
    std::fill_n(workspace.used.data(), problem.prototypes, A(0));
    for (Index r = 0; r < codes.rows; ++r) workspace.used.data()[workspace.largest_code.data()[r]] = A(1);
    statistics.prototypes_used = count_used(problem, workspace);
    return statistics;
  }

  template <class Group, class A>
  static Index merge_used(const Device&, const Group& group, const Problem<A>& problem, Workspace<A>& workspace) {
    group.maximum(workspace.used.data(), problem.prototypes);
    return count_used(problem, workspace);
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
  static Index count_used(const Problem<A>& problem, const Workspace<A>& workspace) {
    return std::count(workspace.used.data(), workspace.used.data() + problem.prototypes, A(1));
  }

  // A row costs its products: two for the gradients and one for scores that are not there yet. Shares are even in cost.
  template <class A>
  static Index row_cost(const Problem<A>& problem, bool reuse_scores, Index view) {
    return reuse_scores && problem.slot[view] >= 0 ? 2 : 3;
  }
  template <class A>
  static Index total_cost(const Problem<A>& problem, bool reuse_scores) {
    Index cost = 0;
    for (Index view = 0; view < problem.views; ++view) cost += problem.samples * row_cost(problem, reuse_scores, view);
    return cost;
  }
  // The first row that begins at `cost` or after it.
  template <class A>
  static Index row_at_cost(const Problem<A>& problem, bool reuse_scores, Index cost) {
    for (Index view = 0; view < problem.views; ++view) {
      const Index each = row_cost(problem, reuse_scores, view);
      if (cost <= each * problem.samples) return view * problem.samples + (cost + each - 1) / each;
      cost -= each * problem.samples;
    }
    return problem.views * problem.samples;
  }

  // Fills the block with the scores of the rows from `first` on: copied where they are kept, else computed.
  template <class A>
  static void load_scores(const Problem<A>& problem, MatrixView<const A> z, MatrixView<const A> c,
                          MatrixView<const A> scores, Index first, MatrixView<A> block) {
    const auto kept = [&](Index row) { return scores.data != nullptr && problem.slot[row / problem.samples] >= 0; };
    for (Index begin = 0, end; begin < block.rows; begin = end) {
      const bool copy = kept(first + begin);
      for (end = begin + 1; end < block.rows && kept(first + end) == copy;) ++end;
      if (!copy) {
        Product::multiply(z.middle_rows(first + begin, end - begin), Transpose::no, c, Transpose::yes, A(1), A(0),
                          block.middle_rows(begin, end - begin));
        continue;
      }
      for (Index r = begin; r < end; ++r) {
        const Index row = first + r;
        const Index from = problem.slot[row / problem.samples] * problem.samples + row % problem.samples;
        Array<A>(block.row(r), block.cols) = ConstArray<A>(scores.row(from), scores.cols);
      }
    }
  }

  // From a row of scores s, in place, n softmax(s/tau) - T with T the sum of the codes that the row's view predicts.
  // Returns n logsumexp(s/tau) - T . s/tau.
  template <class A>
  static double swapped_gradient_row(const Problem<A>& problem, Index r, MatrixView<const A> codes, Array<A> row) {
    const Index view = r / problem.samples, sample = r % problem.samples;
    const A predictions = problem.predictions(view);
    double agreement = 0;
    for_predicted(problem, view, sample, codes,
                  [&](const ConstArray<A>& code) { agreement += static_cast<double>((code * row).sum()); });
    const A maximum = row.maxCoeff();
    row = ((row - maximum) * problem.inverse_temperature).exp();
    const A sum = row.sum();
    if (problem.gradients) {
      A factor = predictions / sum;
      if (predictions == A(0)) row.setZero();
      for_predicted(problem, view, sample, codes, [&](const ConstArray<A>& code) {
        row = row * factor - code;
        factor = A(1);
      });
    }
    const A log_sum = maximum * problem.inverse_temperature + std::log(sum);
    return static_cast<double>(predictions) * static_cast<double>(log_sum) -
           agreement * static_cast<double>(problem.inverse_temperature);
  }

  template <class A, class Body>
  static void for_predicted(const Problem<A>& problem, Index view, Index sample, MatrixView<const A> codes,
                            Body&& body) {
    for (Index i = 0; i < problem.assigned_count; ++i)
      if (problem.assigned[i] != view) body(ConstArray<A>(codes.row(i * problem.samples + sample), codes.cols));
  }
};

}  // namespace swav
