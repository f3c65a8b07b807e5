// The Sinkhorn passes on the CPU. In: row-major host memory. Out: host memory. A few rows at a time, so that each is
// read from memory once and used from the nearest caches after that.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "swav/backend/eigen/arg_max.hpp"
#include "swav/backend/eigen/device.hpp"
#include "swav/backend/eigen/row_cast.hpp"
#include "swav/sinkhorn/passes.hpp"

namespace swav {

template <class Product>
struct SinkhornPasses<BasicEigenDevice<Product>> {
  using Device = BasicEigenDevice<Product>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  // Rows whose products with a vector of K are made together: the vector is then loaded once for all of them.
  static constexpr Index block_rows = 8;
  // As many as a vector register holds at least: g++ 12 takes Eigen's stores for such, and warns of them.
  template <class A>
  static constexpr Index block_weights = std::max<Index>(block_rows, 64 / static_cast<Index>(sizeof(A)));

  template <class Scalar>
  struct Workspace {
    using A = Accumulator<Scalar>;
    // Potentials grow like span/epsilon and are subtracted from each other: double keeps their digits for float scores.
    using L = PotentialScalar<Scalar>;

    void reserve(Index rows, Index cols, const Device& device) {
      row_maxima.reserve(rows);
      column_sums.reserve(cols);
      column_masses.reserve(cols);
      factors.reserve(cols);
      partial_sums.reserve(cols * device.threads());
      row_scratch.reserve(cols * block_rows * device.threads());
      share_ranges.reserve(device.threads());
    }
    void reserve_log(Index rows, Index cols, const Device& device) {
      row_potentials.reserve(rows);
      column_potentials.reserve(cols);
      log_scratch.reserve(3 * cols * device.threads());
    }
    // What log_columns leaves: column k's sum is log_sums[k] exp(log_largest[k]).
    L* log_largest() const { return log_scratch.data(); }
    L* log_sums(Index cols) const { return log_scratch.data() + cols; }

    Buffer<A> row_maxima, column_sums, column_masses, factors, partial_sums, row_scratch, kernel;
    Buffer<Scalar> scalar_kernel;
    Buffer<ScoreRange<A>> share_ranges;
    Buffer<L> row_potentials, column_potentials, log_scratch;
    bool backward = false;  // the direction of the next pass over the rows
  };

  template <class Scalar>
  static ScoreRange<Accumulator<Scalar>> range(const Device& device, MatrixView<const Scalar> scores,
                                               Workspace<Scalar>& workspace) {
    using A = Accumulator<Scalar>;
    const Index cols = scores.cols;
    workspace.backward = false;
    for_blocks(device, scores.rows, workspace, [&](int share, Index first, Index count, bool starts) {
      Array<A> scratch(workspace.row_scratch.data() + share * block_rows * cols, cols);
      ScoreRange<A>& extremes = workspace.share_ranges.data()[share];
      if (starts) extremes = empty_range<A>();
      for (Index b = first; b < first + count; ++b) {
        const ConstArray<A> row = load(ConstArray<Scalar>(scores.row(b), cols), scratch);
        const A maximum = row.maxCoeff();
        workspace.row_maxima.data()[b] = maximum;
        extremes.maximum = std::max(extremes.maximum, maximum);
        extremes.minimum = std::min(extremes.minimum, row.minCoeff());
        // The comparisons above do not catch a NaN. Times 0, any finite value vanishes and nothing else does.
        extremes.finite = extremes.finite && (row * A(0)).sum() == A(0);
      }
    });
    ScoreRange<A> total = empty_range<A>();
    for (int share = 0; share < device.shares(scores.rows); ++share) {
      const ScoreRange<A>& extremes = workspace.share_ranges.data()[share];
      total.minimum = std::min(total.minimum, extremes.minimum);
      total.maximum = std::max(total.maximum, extremes.maximum);
      total.finite = total.finite && extremes.finite;
    }
    return total;
  }

  template <class Scalar>
  static void set_column_masses(const Device&, const double* masses, Index columns, Workspace<Scalar>& workspace) {
    using A = Accumulator<Scalar>;
    Array<A> into(workspace.column_masses.data(), columns);
    if (masses == nullptr)
      into.setConstant(A(1) / static_cast<A>(columns));
    else
      for (Index k = 0; k < columns; ++k) into[k] = static_cast<A>(masses[k]);
  }

  template <class Scalar>
  static bool invert_column_sums(const Device&, Index columns, Workspace<Scalar>& workspace) {
    using A = Accumulator<Scalar>;
    const ConstArray<A> sums(workspace.column_sums.data(), columns);
    Array<A> factors(workspace.factors.data(), columns);
    // A sum this small is made of entries that were rounded to zero or to few digits.
    const A smallest = std::numeric_limits<A>::min() / std::numeric_limits<A>::epsilon();
    if (!(sums.minCoeff() >= smallest && std::isfinite(sums.sum()))) return false;
    factors = ConstArray<A>(workspace.column_masses.data(), columns) / sums;
    return true;
  }

  template <class Scalar, class Kernel, class A>
  static void make_kernel(const Device& device, MatrixView<const Scalar> scores, A maximum, A inverse_epsilon,
                          MatrixView<Kernel> kernel, Workspace<Scalar>& workspace) {
    const Index cols = scores.cols;
    sum_columns(device, kernel, workspace, [&](Index first, Index count, A* block, A* weights) {
      for (Index r = 0; r < count; ++r) {
        const A largest = workspace.row_maxima.data()[first + r];
        Array<Kernel> row(kernel.row(first + r), cols);
        Array<A> scratch(block, cols);
        const ConstArray<A> values = load(ConstArray<Scalar>(scores.row(first + r), cols), scratch);
        // By way of the aligned scratch: an exponential's last bit must not depend on where the caller's rows begin.
        scratch = ((values - largest) * inverse_epsilon).exp();
        if constexpr (std::is_same_v<Kernel, A>)
          row = scratch;
        else
          detail::cast_row(scratch.data(), cols, row.data());
        weights[r] = std::exp((largest - maximum) * inverse_epsilon);
      }
      // Read back where it was rounded: what later passes read is what this one must sum.
      return load_block(kernel.middle_rows(first, count), block);
    });
  }

  template <class Scalar, class Kernel>
  static void iterate(const Device& device, MatrixView<Kernel> kernel, Accumulator<Scalar> samples,
                      Workspace<Scalar>& workspace) {
    using A = Accumulator<Scalar>;
    const Eigen::Map<const Vector<A>> factors(workspace.factors.data(), kernel.cols);
    sum_columns(device, kernel, workspace, [&](Index first, Index count, A* block, A* weights) {
      const detail::ConstMatrixMap<A> rows = load_block(kernel.middle_rows(first, count), block);
      Eigen::Map<Vector<A>> u(weights, count);
      u.noalias() = rows * factors;
      u = (samples * u.array()).inverse();
      return rows;
    });
  }

  template <class Scalar, class Kernel>
  static void finish(const Device& device, MatrixView<Kernel> kernel, Workspace<Scalar>& workspace,
                     MatrixView<Scalar> out) {
    using A = Accumulator<Scalar>;
    const Index cols = kernel.cols;
    const ConstArray<A> factors(workspace.factors.data(), cols);
    for_blocks(device, kernel.rows, workspace, [&](int share, Index first, Index count, bool) {
      Array<A> scratch(workspace.row_scratch.data() + share * block_rows * cols, cols);
      for (Index b = first; b < first + count; ++b) {
        const ConstArray<A> row = load(ConstArray<Kernel>(kernel.row(b), cols), scratch);
        const A scale = A(1) / (row * factors).sum();
        Array<Scalar>(out.row(b), cols) = (row * factors * scale).template cast<Scalar>();
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
    Array<L> largest(workspace.log_largest(), cols);
    Array<L> sums(workspace.log_sums(cols), cols);
    if (scores.rows == 0) {
      largest.setConstant(std::numeric_limits<L>::lowest());
      sums.setZero();
    }
    for (int share = 1; share < device.shares(scores.rows); ++share) {
      const Array<L> other(workspace.log_scratch.data() + share * 3 * cols, cols);
      const ConstArray<L> other_sums(other.data() + cols, cols);
      add_exponentials(other, other_sums, largest, sums);
    }
  }

  template <class Scalar, class Group>
  static void log_merge(const Device&, const Group& group, Index columns, Workspace<Scalar>& workspace) {
    using L = typename Workspace<Scalar>::L;
    Array<L> largest(workspace.log_largest(), columns);
    Array<L> own(workspace.column_potentials.data(), columns);
    own = largest;
    group.maximum(largest.data(), columns);
    Array<L>(workspace.log_sums(columns), columns) *= (own - largest).exp();
    group.sum(workspace.log_sums(columns), columns);
  }

  template <class Scalar>
  static void log_column_potentials(const Device&, Index columns, Workspace<Scalar>& workspace) {
    using L = typename Workspace<Scalar>::L;
    const ConstArray<L> largest(workspace.log_largest(), columns);
    const ConstArray<L> sums(workspace.log_sums(columns), columns);
    const ConstArray<Accumulator<Scalar>> masses(workspace.column_masses.data(), columns);
    Array<L>(workspace.column_potentials.data(), columns) = masses.template cast<L>().log() - (largest + sums.log());
  }

  template <class Scalar, class A>
  static void log_rows(const Device& device, MatrixView<const Scalar> scores, A maximum, double epsilon, A samples,
                       Workspace<Scalar>& workspace) {
    using L = typename Workspace<Scalar>::L;
    for_log_rows(device, scores, maximum, epsilon, workspace, [&](Index b, Array<L>& shifted) {
      const L largest = shifted.maxCoeff();
      workspace.row_potentials.data()[b] =
          -std::log(static_cast<L>(samples)) - (largest + std::log((shifted - largest).exp().sum()));
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

  template <class Scalar>
  static void harden(const Device& device, Workspace<Scalar>& workspace, MatrixView<Scalar> codes) {
    using A = Accumulator<Scalar>;
    device.for_shares(codes.rows, [&](int share, Index first, Index count) {
      Array<A> scratch(workspace.row_scratch.data() + share * block_rows * codes.cols, codes.cols);
      for (Index b = first; b < first + count; ++b) {
        const Index largest = detail::arg_max(load(ConstArray<Scalar>(codes.row(b), codes.cols), scratch));
        Array<Scalar>(codes.row(b), codes.cols).setConstant(static_cast<Scalar>(A(0)));
        codes.row(b)[largest] = static_cast<Scalar>(A(1));
      }
    });
  }

 private:
  template <class T>
  using Array = detail::ArrayMap<T>;
  template <class T>
  using ConstArray = detail::ConstArrayMap<T>;
  template <class T>
  using Vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;

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
      detail::cast_row(row.data(), row.size(), scratch.data());
      return ConstArray<A>(scratch.data(), scratch.size());
    }
  }

  // The block's rows in the accumulator's type: themselves where they already are, else converted into `block`.
  template <class Kernel, class A>
  static detail::ConstMatrixMap<A> load_block(MatrixView<Kernel> rows, A* block) {
    if constexpr (std::is_same_v<Kernel, A>) {
      return detail::as_eigen(MatrixView<const A>(rows));
    } else {
      const MatrixView<A> converted(block, rows.rows, rows.cols);
      for (Index r = 0; r < rows.rows; ++r) detail::cast_row(rows.row(r), rows.cols, converted.row(r));
      return detail::as_eigen(MatrixView<const A>(converted));
    }
  }

  // Calls body(share, first, count, whether it is the share's first) for blocks of rows, in every other pass the last
  // block first: what the caches still have of the pass before is then used before it is displaced.
  template <class Scalar, class Body>
  static void for_blocks(const Device& device, Index rows, Workspace<Scalar>& workspace, Body&& body) {
    const bool backward = std::exchange(workspace.backward, !workspace.backward);
    device.for_shares(rows, [&](int share, Index first, Index count) {
      const Index blocks = (count + block_rows - 1) / block_rows;
      for (Index block = 0; block < blocks; ++block) {
        const Index begin = (backward ? blocks - 1 - block : block) * block_rows;
        body(share, first + begin, std::min(block_rows, count - begin), block == 0);
      }
    });
  }

  // column_sums = sum over blocks of rows^T weights, where rows = body(first, count, block, weights).
  template <class Scalar, class Kernel, class Body>
  static void sum_columns(const Device& device, MatrixView<Kernel> kernel, Workspace<Scalar>& workspace, Body&& body) {
    using A = Accumulator<Scalar>;
    const Index cols = kernel.cols;
    const auto share_sums = [&](int share) {
      return Eigen::Map<Vector<A>>(workspace.partial_sums.data() + share * cols, cols);
    };
    for_blocks(device, kernel.rows, workspace, [&](int share, Index first, Index rows, bool starts) {
      Eigen::Map<Vector<A>> sums = share_sums(share);
      A* const block = workspace.row_scratch.data() + share * block_rows * cols;
      A weights[block_weights<A>];
      if (starts) sums.setZero();
      const detail::ConstMatrixMap<A> values = body(first, rows, block, weights);
      const auto term = [&](Index r) { return weights[r] * values.row(r).transpose(); };
      Index r = 0;
      for (; r + 4 <= rows; r += 4) sums += (term(r) + term(r + 1)) + (term(r + 2) + term(r + 3));
      for (; r < rows; ++r) sums += term(r);
    });
    Eigen::Map<Vector<A>> total(workspace.column_sums.data(), cols);
    if (kernel.rows == 0)
      total.setZero();
    else
      total = share_sums(0);
    for (int share = 1; share < device.shares(kernel.rows); ++share) total += share_sums(share);
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
