// The swapped-prediction passes by Thrust. In: row-major memory of the policy's system. Out: the same. Scores exist for
// a block of rows at a time.
#pragma once

#include <thrust/functional.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/loss/passes.hpp"

namespace swav {
namespace detail {

/// The sum of the codes that a view's row predicts, entry by entry.
template <class A>
struct PredictedCodes {
  MatrixView<const A> codes;
  Index samples, assigned_count;
  const int* assigned;
  SWAV_HOST_DEVICE A operator()(Index row, Index k) const {
    A sum = 0;
    for (Index i = 0; i < assigned_count; ++i)
      if (assigned[i] != row / samples) sum += codes.data[(i * samples + row % samples) * codes.stride + k];
    return sum;
  }
};

}  // namespace detail

template <class Policy>
struct LossPasses<ThrustDevice<Policy>> {
  using Device = ThrustDevice<Policy>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;
  template <class A>
  using Problem = SwappedPredictionProblem<A>;

  template <class A>
  struct Workspace {
    void reserve(const Problem<A>& problem, const Device& device) {
      constexpr Index bytes = Index{64} << 20;
      const Index rows = problem.views * problem.samples, codes = problem.assigned_count * problem.samples;
      block_rows = std::clamp<Index>(bytes / (problem.prototypes * static_cast<Index>(sizeof(A))), 1, rows);
      block.reserve(block_rows * problem.prototypes);
      row_exponentials.reserve(block_rows);
      for (Buffer<double>* buffer : {&row_values, &agreements}) buffer->reserve(std::max(block_rows, codes));
      grad_c.reserve(problem.gradients ? problem.prototypes * problem.dimension : 0);
      largest_entries.reserve(codes);
      used.reserve(problem.prototypes);
      detail::upload(device.policy(), problem.slot, problem.views, slot.reserve(problem.views));
      detail::upload(device.policy(), problem.assigned, problem.assigned_count,
                     assigned.reserve(problem.assigned_count));
    }

    Index block_rows = 0;
    Buffer<A> block, grad_c;
    Buffer<detail::LogSum<PotentialScalar<A>>> row_exponentials;
    Buffer<double> row_values, agreements;
    Buffer<detail::LargestEntry<A>> largest_entries;
    Buffer<Index> used;
    Buffer<int> slot, assigned;  // the problem's
  };

  template <class A>
  static void score(const Device& device, const Problem<A>& problem, MatrixView<const A> z, MatrixView<const A> c,
                    MatrixView<A> scores, const Workspace<A>& w) {
    const Index samples = problem.samples;
    const int* const assigned = w.assigned.data();
    detail::for_each_entry(device.policy(), scores.rows, scores.cols, [=] SWAV_HOST_DEVICE(Index r, Index k) {
      const A* const row = z.data + (assigned[r / samples] * samples + r % samples) * z.stride;
      A sum = 0;
      for (Index d = 0; d < c.cols; ++d) sum += row[d] * c.data[k * c.stride + d];
      scores.data[r * scores.stride + k] = sum;
    });
  }

  template <class A>
  static double predict(const Device& device, const Problem<A>& problem, MatrixView<const A> z, MatrixView<const A> c,
                        MatrixView<const A> scores, MatrixView<const A> codes, MatrixView<A> grad_z, Workspace<A>& w) {
    const Index rows = problem.views * problem.samples;
    double value = 0;
    for (Index first = 0; first < rows; first += w.block_rows) {
      const MatrixView<A> block(w.block.data(), std::min(w.block_rows, rows - first), problem.prototypes);
      load_scores(device, problem, z, c, scores, first, block, w);
      value += turn_into_gradient(device, problem, first, codes, block, w);
      if (problem.gradients) multiply_gradient(device, problem, first, block, z, c, grad_z, w);
    }
    return static_cast<double>(problem.pair_weight) * value;
  }

  template <class A>
  static CodeStatistics code_statistics(const Device& device, const Problem<A>& problem, MatrixView<const A> codes,
                                        Workspace<A>& w) {
    const auto candidate = [codes] SWAV_HOST_DEVICE(Index r, Index k) {
      return detail::LargestEntry<A>{codes.data[r * codes.stride + k], k};
    };
    auto* const largest = w.largest_entries.data();
    detail::reduce_rows(device, codes.rows, codes.cols, candidate, detail::FirstLargest<A>(), largest);
    const auto surprise = [codes] SWAV_HOST_DEVICE(Index r, Index k) {
      const A code = codes.data[r * codes.stride + k];
      return code > A(0) ? -static_cast<double>(code * std::log(code)) : 0.0;
    };
    double* const entropies = w.row_values.data();
    detail::reduce_rows(device, codes.rows, codes.cols, surprise, thrust::plus<double>(), entropies);
    Index* const used = w.used.data();
    detail::for_each_index(device.policy(), problem.prototypes, [=] SWAV_HOST_DEVICE(Index k) { used[k] = 0; });
    const Index count = codes.rows;
    // Searched for, rather than marked by many threads at once.
    detail::for_each_index(device.policy(), problem.prototypes, [=] SWAV_HOST_DEVICE(Index k) {
      for (Index r = 0; r < count && used[k] == 0; ++r) used[k] = largest[r].column == k ? 1 : 0;
    });
    const double entropy = detail::reduce_values(device, entropies, count, 0.0, thrust::plus<double>());
    return {entropy / static_cast<double>(count),
            detail::reduce_values(device, used, problem.prototypes, Index{0}, thrust::plus<Index>())};
  }

  template <class A>
  static void collect_prototype_gradient(const Device& device, const Problem<A>& problem, MatrixView<A> out,
                                         const Workspace<A>& w) {
    const A* const grad_c = w.grad_c.data();
    const Index cols = problem.dimension;
    detail::for_each_entry(device.policy(), out.rows, cols, [=] SWAV_HOST_DEVICE(Index k, Index d) {
      out.data[k * out.stride + d] = grad_c[k * cols + d];
    });
  }

  // Below are parts of the passes; nvcc allows no lambdas of device code in private functions.

  /// The scores of the rows from `first` on: copied where they are kept, else computed.
  template <class A>
  static void load_scores(const Device& device, const Problem<A>& problem, MatrixView<const A> z, MatrixView<const A> c,
                          MatrixView<const A> scores, Index first, MatrixView<A> block, Workspace<A>& w) {
    const Index samples = problem.samples;
    const int* const slot = w.slot.data();
    detail::for_each_entry(device.policy(), block.rows, block.cols, [=] SWAV_HOST_DEVICE(Index r, Index k) {
      const Index row = first + r, place = slot[row / samples];
      A sum = 0;
      if (scores.data != nullptr && place >= 0)
        sum = scores.data[(place * samples + row % samples) * scores.stride + k];
      else
        for (Index d = 0; d < c.cols; ++d) sum += z.data[row * z.stride + d] * c.data[k * c.stride + d];
      block.data[r * block.stride + k] = sum;
    });
  }

  /// n softmax(s/tau) - T in place; returns the sum over rows of n logsumexp(s/tau) - T . s/tau.
  template <class A>
  static double turn_into_gradient(const Device& device, const Problem<A>& problem, Index first,
                                   MatrixView<const A> codes, MatrixView<A> block, Workspace<A>& w) {
    using L = PotentialScalar<A>;
    const A inverse = problem.inverse_temperature;
    const detail::PredictedCodes<A> predicted{codes, problem.samples, problem.assigned_count, w.assigned.data()};
    const auto exponential = [=] SWAV_HOST_DEVICE(Index r, Index k) {
      return detail::LogSum<L>{static_cast<L>(block.data[r * block.stride + k] * inverse), L(1)};
    };
    const auto* const rows = w.row_exponentials.data();
    detail::reduce_rows(device, block.rows, block.cols, exponential, detail::AddExponentials<L>(),
                        w.row_exponentials.data());
    const auto agreement = [=] SWAV_HOST_DEVICE(Index r, Index k) {
      return static_cast<double>(predicted(first + r, k) * block.data[r * block.stride + k]);
    };
    const double* const agreements = w.agreements.data();
    detail::reduce_rows(device, block.rows, block.cols, agreement, thrust::plus<double>(), w.agreements.data());
    const Index samples = problem.samples;
    const int* const slot = w.slot.data();
    const Index all = problem.assigned_count;
    const auto predictions = [=] SWAV_HOST_DEVICE(Index r) {
      return static_cast<A>(slot[(first + r) / samples] >= 0 ? all - 1 : all);
    };
    double* const values = w.row_values.data();
    detail::for_each_index(device.policy(), block.rows, [=] SWAV_HOST_DEVICE(Index r) {
      const L log_sum = rows[r].largest + std::log(rows[r].sum);
      values[r] = static_cast<double>(predictions(r)) * static_cast<double>(log_sum) -
                  agreements[r] * static_cast<double>(inverse);
    });
    if (problem.gradients)
      detail::for_each_entry(device.policy(), block.rows, block.cols, [=] SWAV_HOST_DEVICE(Index r, Index k) {
        A& entry = block.data[r * block.stride + k];
        const A softmax = std::exp(entry * inverse - static_cast<A>(rows[r].largest)) / static_cast<A>(rows[r].sum);
        entry = predictions(r) * softmax - predicted(first + r, k);
      });
    return detail::reduce_values(device, values, block.rows, 0.0, thrust::plus<double>());
  }

  /// The block's rows of grad_z, and what they add to grad_c.
  template <class A>
  static void multiply_gradient(const Device& device, const Problem<A>& problem, Index first, MatrixView<A> block,
                                MatrixView<const A> z, MatrixView<const A> c, MatrixView<A> grad_z, Workspace<A>& w) {
    const A scale = problem.pair_weight * problem.inverse_temperature;
    detail::for_each_entry(device.policy(), block.rows, c.cols, [=] SWAV_HOST_DEVICE(Index r, Index d) {
      A sum = 0;
      for (Index k = 0; k < c.rows; ++k) sum += block.data[r * block.stride + k] * c.data[k * c.stride + d];
      grad_z.data[(first + r) * grad_z.stride + d] = scale * sum;
    });
    A* const grad_c = w.grad_c.data();
    const Index cols = c.cols;
    detail::for_each_entry(device.policy(), c.rows, cols, [=] SWAV_HOST_DEVICE(Index k, Index d) {
      A sum = 0;
      for (Index r = 0; r < block.rows; ++r)
        sum += block.data[r * block.stride + k] * z.data[(first + r) * z.stride + d];
      grad_c[k * cols + d] = (first == 0 ? A(0) : grad_c[k * cols + d]) + scale * sum;
    });
  }
};

}  // namespace swav
