// The Sinkhorn passes on the CPU. In: row-major host memory. Out: host memory. One row at a time, so that each row is
// read from memory once and used from the first-level cache after that.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "swav/backend/eigen/device.hpp"
#include "swav/sinkhorn/passes.hpp"

namespace swav {

template <class Product>
struct SinkhornPasses<BasicEigenDevice<Product>> {
  using Device = BasicEigenDevice<Product>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  template <class Scalar>
  struct Workspace {
    using A = Accumulator<Scalar>;
    // Potentials grow like span/epsilon and are subtracted from each other: double keeps their digits for float scores.
    using L = std::conditional_t<(sizeof(A) < sizeof(double)), double, A>;

    void reserve(Index rows, Index cols, const Device& device) {
      row_maxima.reserve(rows);
      column_sums.reserve(cols);
      factors.reserve(cols);
      partial_sums.reserve(cols * device.threads());
      row_scratch.reserve(cols * device.threads());
      share_ranges.reserve(device.threads());
    }
    void reserve_log(Index rows, Index cols, const Device& device) {
      row_potentials.reserve(rows);
      column_potentials.reserve(cols);
      log_scratch.reserve(3 * cols * device.threads());
    }

    Buffer<A> row_maxima, column_sums, factors, partial_sums, row_scratch, kernel;
    Buffer<Scalar> scalar_kernel;
    Buffer<ScoreRange<A>> share_ranges;
    Buffer<L> row_potentials, column_potentials, log_scratch;
  };

  template <class Scalar, class A>
  static ScoreRange<A> column_sums(const Device& device, MatrixView<const Scalar> scores, A inverse_epsilon,
                                   Workspace<Scalar>& workspace) {
    const Index cols = scores.cols;
    for (int thread = 0; thread < device.threads(); ++thread) workspace.share_ranges.data()[thread] = empty_range<A>();
    device.for_shares(scores.rows, [&](int thread, Index first, Index count) {
      Array<A> sums(workspace.partial_sums.data() + thread * cols, cols);
      Array<A> scratch(workspace.row_scratch.data() + thread * cols, cols);
      ScoreRange<A> range = empty_range<A>();
      sums.setZero();
      for (Index b = first; b < first + count; ++b) {
        const ConstArray<Scalar> row(scores.row(b), cols);
        const ConstArray<A> values = load(row, scratch);
        const A maximum = values.maxCoeff();
        range.minimum = std::min(range.minimum, values.minCoeff());
        workspace.row_maxima.data()[b] = maximum;
        // The sums are kept relative to the largest maximum so far, so the scores are read once.
        if (maximum > range.maximum) {
          if (b > first) sums *= std::exp((range.maximum - maximum) * inverse_epsilon);
          range.maximum = maximum;
        }
        const A shift = range.maximum;
        sums += ((values - shift) * inverse_epsilon).exp();
        // The comparisons above do not catch a NaN. Times 0, any finite value vanishes and nothing else does.
        range.finite = range.finite && (values * A(0)).sum() == A(0);
      }
      workspace.share_ranges.data()[thread] = range;
    });
    return merge_shares(device, scores, inverse_epsilon, workspace);
  }

  template <class Scalar>
  static bool invert_column_sums(const Device&, Index columns, Workspace<Scalar>& workspace) {
    using A = Accumulator<Scalar>;
    const ConstArray<A> sums(workspace.column_sums.data(), columns);
    Array<A> factors(workspace.factors.data(), columns);
    // A sum this small is made of entries that were rounded to zero or to few digits.
    const A smallest = std::numeric_limits<A>::min() / std::numeric_limits<A>::epsilon();
    if (!(sums.minCoeff() >= smallest && std::isfinite(sums.sum()))) return false;
    factors = A(1) / (static_cast<A>(columns) * sums);
    return true;
  }

  template <class Scalar, class Kernel, class A>
  static void iterate(const Device& device, KernelSource source, MatrixView<const Scalar> scores,
                      MatrixView<Kernel> kernel, A inverse_epsilon, Workspace<Scalar>& workspace) {
    const Index cols = scores.cols;
    const A samples = static_cast<A>(scores.rows);
    const ConstArray<A> factors(workspace.factors.data(), cols);
    device.for_shares(scores.rows, [&](int thread, Index first, Index count) {
      Array<A> sums(workspace.partial_sums.data() + thread * cols, cols);
      Array<A> scratch(workspace.row_scratch.data() + thread * cols, cols);
      sums.setZero();
      for (Index b = first; b < first + count; ++b) {
        const ConstArray<A> row = kernel_row(source, scores, kernel, b, inverse_epsilon, workspace, scratch, true);
        const A sample_factor = A(1) / (samples * (row * factors).sum());
        sums += sample_factor * row;
      }
    });
    Array<A> total(workspace.column_sums.data(), cols);
    total = ConstArray<A>(workspace.partial_sums.data(), cols);
    for (int share = 1; share < device.shares(scores.rows); ++share)
      total += ConstArray<A>(workspace.partial_sums.data() + share * cols, cols);
  }

  template <class Scalar, class Kernel, class A>
  static void finish(const Device& device, KernelSource source, MatrixView<const Scalar> scores,
                     MatrixView<Kernel> kernel, A inverse_epsilon, Workspace<Scalar>& workspace,
                     MatrixView<Scalar> out) {
    const Index cols = scores.cols;
    const ConstArray<A> factors(workspace.factors.data(), cols);
    device.for_shares(scores.rows, [&](int thread, Index first, Index count) {
      Array<A> scratch(workspace.row_scratch.data() + thread * cols, cols);
      for (Index b = first; b < first + count; ++b) {
        const ConstArray<A> row = kernel_row(source, scores, kernel, b, inverse_epsilon, workspace, scratch, false);
        Array<Scalar> codes(out.row(b), cols);
        const A scale = A(1) / (row * factors).sum();
        codes = (row * factors * scale).template cast<Scalar>();
      }
    });
  }

  template <class Scalar, class A>
  static void log_columns(const Device& device, MatrixView<const Scalar> scores, A maximum, double epsilon,
                          bool first_iteration, Workspace<Scalar>& workspace) {
    using L = typename Workspace<Scalar>::L;
    const Index cols = scores.cols;
    device.for_shares(scores.rows, [&](int thread, Index first, Index count) {
      Array<L> largest(workspace.log_scratch.data() + thread * 3 * cols, cols);
      Array<L> sums(largest.data() + cols, cols);
      Array<L> shifted(sums.data() + cols, cols);
      largest.setConstant(std::numeric_limits<L>::lowest());
      sums.setZero();
      for (Index b = first; b < first + count; ++b) {
        load_exponents(scores, b, maximum, epsilon, shifted);
        if (!first_iteration) shifted += workspace.row_potentials.data()[b];
        add_exponentials(shifted, L(1), largest, sums);
      }
    });
    Array<L> largest(workspace.log_scratch.data(), cols);
    Array<L> sums(largest.data() + cols, cols);
    for (int share = 1; share < device.shares(scores.rows); ++share) {
      const Array<L> other(workspace.log_scratch.data() + share * 3 * cols, cols);
      const ConstArray<L> other_sums(other.data() + cols, cols);
      add_exponentials(other, other_sums, largest, sums);
    }
    Array<L> potentials(workspace.column_potentials.data(), cols);
    potentials = -std::log(static_cast<L>(cols)) - (largest + sums.log());
  }

  template <class Scalar, class A>
  static void log_rows(const Device& device, MatrixView<const Scalar> scores, A maximum, double epsilon,
                       Workspace<Scalar>& workspace) {
    using L = typename Workspace<Scalar>::L;
    for_log_rows(device, scores, maximum, epsilon, workspace, [&](Index b, Array<L>& shifted) {
      const L largest = shifted.maxCoeff();
      workspace.row_potentials.data()[b] =
          -std::log(static_cast<L>(scores.rows)) - (largest + std::log((shifted - largest).exp().sum()));
    });
  }

  template <class Scalar, class A>
  static void log_finish(const Device& device, MatrixView<const Scalar> scores, A maximum, double epsilon,
                         Workspace<Scalar>& workspace, MatrixView<Scalar> out) {
    using L = typename Workspace<Scalar>::L;
    for_log_rows(device, scores, maximum, epsilon, workspace, [&](Index b, Array<L>& shifted) {
      const L largest = shifted.maxCoeff();
      shifted = (shifted - largest).exp();
      Array<Scalar>(out.row(b), out.cols) = (shifted * (L(1) / shifted.sum())).template cast<Scalar>();
    });
  }

 private:
  template <class T>
  using Array = detail::ArrayMap<T>;
  template <class T>
  using ConstArray = detail::ConstArrayMap<T>;

  template <class A>
  static ScoreRange<A> empty_range() {
    return {std::numeric_limits<A>::max(), std::numeric_limits<A>::lowest(), true};
  }

  // The row in the accumulator's type: itself where it already is, else converted into `scratch`.
  template <class Scalar, class A>
  static ConstArray<A> load(const ConstArray<Scalar>& row, Array<A>& scratch) {
    if constexpr (std::is_same_v<Scalar, A>) {
      return row;
    } else {
      scratch = row.template cast<A>();
      return ConstArray<A>(scratch.data(), scratch.size());
    }
  }

  template <class Scalar, class Kernel, class A>
  static ConstArray<A> kernel_row(KernelSource source, MatrixView<const Scalar> scores, MatrixView<Kernel> kernel,
                                  Index b, A inverse_epsilon, const Workspace<Scalar>& workspace, Array<A>& scratch,
                                  bool store) {
    if (source == KernelSource::stored) return load(ConstArray<Kernel>(kernel.row(b), kernel.cols), scratch);
    const ConstArray<A> values = load(ConstArray<Scalar>(scores.row(b), scores.cols), scratch);
    scratch = ((values - workspace.row_maxima.data()[b]) * inverse_epsilon).exp();
    // What later passes will read back is what this pass must use: the row as the storage rounds it.
    if (store) {
      Array<Kernel> stored(kernel.row(b), kernel.cols);
      stored = scratch.template cast<Kernel>();
      return load(ConstArray<Kernel>(stored.data(), stored.size()), scratch);
    }
    return ConstArray<A>(scratch.data(), scratch.size());
  }

  template <class Scalar, class A>
  static ScoreRange<A> merge_shares(const Device& device, MatrixView<const Scalar> scores, A inverse_epsilon,
                                    Workspace<Scalar>& workspace) {
    const Index cols = scores.cols;
    ScoreRange<A> total = empty_range<A>();
    for (int share = 0; share < device.shares(scores.rows); ++share) {
      const ScoreRange<A>& range = workspace.share_ranges.data()[share];
      total.minimum = std::min(total.minimum, range.minimum);
      total.maximum = std::max(total.maximum, range.maximum);
      total.finite = total.finite && range.finite;
    }
    if (!total.finite) return total;
    Array<A> sums(workspace.column_sums.data(), cols);
    sums.setZero();
    for (int share = 0; share < device.shares(scores.rows); ++share) {
      const A weight = std::exp((workspace.share_ranges.data()[share].maximum - total.maximum) * inverse_epsilon);
      sums += weight * ConstArray<A>(workspace.partial_sums.data() + share * cols, cols);
    }
    return total;
  }

  // x_bk = (s_bk - max S)/epsilon, kept so far inside the range that sums of it with potentials stay finite.
  template <class Scalar, class A, class L>
  static void load_exponents(MatrixView<const Scalar> scores, Index b, A maximum, double epsilon, Array<L>& exponents) {
    const L lowest = std::numeric_limits<L>::lowest() / 16;
    exponents = ((ConstArray<Scalar>(scores.row(b), scores.cols).template cast<A>().template cast<L>() -
                  static_cast<L>(maximum)) /
                 static_cast<L>(epsilon))
                    .max(lowest);
  }

  // (largest, sums) represent sums * exp(largest), entry by entry; adds weight * exp(exponents).
  template <class L, class Weight>
  static void add_exponentials(const Array<L>& exponents, const Weight& weight, Array<L>& largest, Array<L>& sums) {
    sums = sums * (largest - largest.max(exponents)).exp() + weight * (exponents - largest.max(exponents)).exp();
    largest = largest.max(exponents);
  }

  // Calls row(b, x_b + g) for every row.
  template <class Scalar, class A, class Row>
  static void for_log_rows(const Device& device, MatrixView<const Scalar> scores, A maximum, double epsilon,
                           Workspace<Scalar>& workspace, Row&& row) {
    using L = typename Workspace<Scalar>::L;
    const ConstArray<L> potentials(workspace.column_potentials.data(), scores.cols);
    device.for_shares(scores.rows, [&](int thread, Index first, Index count) {
      Array<L> shifted(workspace.log_scratch.data() + thread * 3 * scores.cols, scores.cols);
      for (Index b = first; b < first + count; ++b) {
        load_exponents(scores, b, maximum, epsilon, shifted);
        shifted += potentials;
        row(b, shifted);
      }
    });
  }
};

}  // namespace swav
