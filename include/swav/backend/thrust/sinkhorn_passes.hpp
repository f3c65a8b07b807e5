// The Sinkhorn passes by Thrust. In: row-major memory of the policy's system. Out: the same.
#pragma once

#include <thrust/copy.h>
#include <thrust/functional.h>

#include <cmath>
#include <limits>
#include <vector>

#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/passes.hpp"

namespace swav {
namespace detail {

template <class A>
struct MergeRanges {
  SWAV_HOST_DEVICE ScoreRange<A> operator()(const ScoreRange<A>& x, const ScoreRange<A>& y) const {
    return {x.minimum < y.minimum ? x.minimum : y.minimum, x.maximum > y.maximum ? x.maximum : y.maximum,
            x.finite && y.finite};
  }
};

/// (s_bk - max S)/epsilon, kept so far inside the range that sums of it with potentials stay finite, and a potential of
/// its row or its column.
template <class Scalar, class L>
struct ScoreExponent {
  MatrixView<const Scalar> scores;
  L maximum, epsilon;
  const L* of_rows;     // or null
  const L* of_columns;  // or null
  SWAV_HOST_DEVICE L operator()(Index r, Index c) const {
    const L lowest = std::numeric_limits<L>::lowest() / 16;
    const L score = static_cast<L>(static_cast<Accumulator<Scalar>>(scores.data[r * scores.stride + c]));
    L exponent = (score - maximum) / epsilon;
    if (!(exponent > lowest)) exponent = lowest;
    if (of_rows != nullptr) exponent += of_rows[r];
    if (of_columns != nullptr) exponent += of_columns[c];
    return exponent;
  }
};

}  // namespace detail

template <class Policy>
struct SinkhornPasses<ThrustDevice<Policy>> {
  using Device = ThrustDevice<Policy>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  template <class Scalar>
  struct Workspace {
    using A = Accumulator<Scalar>;
    // Potentials grow like span/epsilon and are subtracted from each other: double keeps their digits for float scores.
    using L = PotentialScalar<Scalar>;

    void reserve(Index rows, Index cols, const Device&) {
      for (Buffer<A>* buffer : {&row_maxima, &row_values}) buffer->reserve(rows);
      for (Buffer<A>* buffer : {&column_sums, &column_masses, &factors}) buffer->reserve(cols);
      partial_sums.reserve(cols * detail::reduction_chunks);
      row_ranges.reserve(rows);
      largest_entries.reserve(rows);
    }
    void reserve_log(Index rows, Index cols, const Device&) {
      row_potentials.reserve(rows);
      for (Buffer<L>* buffer : {&column_potentials, &largest, &sums}) buffer->reserve(cols);
      row_exponentials.reserve(rows);
      column_exponentials.reserve(cols);
      partial_exponentials.reserve(cols * detail::reduction_chunks);
    }

    Buffer<A> row_maxima, row_values, column_sums, column_masses, factors, partial_sums, kernel;
    Buffer<Scalar> scalar_kernel;
    Buffer<ScoreRange<A>> row_ranges;
    Buffer<detail::LargestEntry<A>> largest_entries;
    Buffer<L> row_potentials, column_potentials, largest, sums;  // log domain
    Buffer<detail::LogSum<L>> row_exponentials, column_exponentials, partial_exponentials;
    std::vector<A> host_masses;
  };

  template <class Scalar>
  static ScoreRange<Accumulator<Scalar>> range(const Device& device, MatrixView<const Scalar> scores,
                                               Workspace<Scalar>& w) {
    using A = Accumulator<Scalar>;
    const auto entry = [scores] SWAV_HOST_DEVICE(Index r, Index c) {
      const A value = static_cast<A>(scores.data[r * scores.stride + c]);
      // Times 0, any finite value vanishes and nothing else does.
      return ScoreRange<A>{value, value, value * A(0) == A(0)};
    };
    ScoreRange<A>* const ranges = w.row_ranges.data();
    detail::reduce_rows(device, scores.rows, scores.cols, entry, detail::MergeRanges<A>(), ranges);
    A* const maxima = w.row_maxima.data();
    detail::for_each_index(device.policy(), scores.rows,
                           [=] SWAV_HOST_DEVICE(Index r) { maxima[r] = ranges[r].maximum; });
    const ScoreRange<A> none{std::numeric_limits<A>::max(), std::numeric_limits<A>::lowest(), true};
    return detail::reduce_values(device, ranges, scores.rows, none, detail::MergeRanges<A>());
  }

  template <class Scalar>
  static void set_column_masses(const Device&, const double* masses, Index columns, Workspace<Scalar>& w) {
    using A = Accumulator<Scalar>;
    w.host_masses.assign(static_cast<std::size_t>(columns), A(1) / static_cast<A>(columns));
    for (Index k = 0; masses != nullptr && k < columns; ++k)
      w.host_masses[static_cast<std::size_t>(k)] = static_cast<A>(masses[k]);
    thrust::copy(w.host_masses.begin(), w.host_masses.end(), w.column_masses.begin());
  }

  template <class Scalar>
  static bool invert_column_sums(const Device& device, Index columns, Workspace<Scalar>& w) {
    using A = Accumulator<Scalar>;
    const A *const sums = w.column_sums.data(), *const masses = w.column_masses.data();
    // A sum this small is made of entries that were rounded to zero or to few digits.
    const A least = std::numeric_limits<A>::min() / std::numeric_limits<A>::epsilon(),
            most = std::numeric_limits<A>::max();
    const auto is_sound = [=] SWAV_HOST_DEVICE(Index k) { return sums[k] >= least && sums[k] <= most; };
    if (!detail::reduce_indices(device, columns, is_sound, true, thrust::logical_and<bool>())) return false;
    A* const factors = w.factors.data();
    detail::for_each_index(device.policy(), columns,
                           [=] SWAV_HOST_DEVICE(Index k) { factors[k] = masses[k] / sums[k]; });
    return true;
  }

  template <class Scalar, class Kernel, class A>
  static void make_kernel(const Device& device, MatrixView<const Scalar> scores, A maximum, A inverse_epsilon,
                          MatrixView<Kernel> kernel, Workspace<Scalar>& w) {
    const A* const maxima = w.row_maxima.data();
    detail::for_each_entry(device.policy(), scores.rows, scores.cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      const A score = static_cast<A>(scores.data[r * scores.stride + c]);
      kernel.data[r * kernel.stride + c] = static_cast<Kernel>(std::exp((score - maxima[r]) * inverse_epsilon));
    });
    A* const weights = w.row_values.data();
    detail::for_each_index(device.policy(), scores.rows, [=] SWAV_HOST_DEVICE(Index r) {
      weights[r] = std::exp((maxima[r] - maximum) * inverse_epsilon);
    });
    sum_columns(device, kernel, w);
  }

  template <class Scalar, class Kernel>
  static void iterate(const Device& device, MatrixView<Kernel> kernel, Accumulator<Scalar> samples,
                      Workspace<Scalar>& w) {
    using A = Accumulator<Scalar>;
    sum_rows(device, kernel, w);
    A* const values = w.row_values.data();
    detail::for_each_index(device.policy(), kernel.rows,
                           [=] SWAV_HOST_DEVICE(Index r) { values[r] = A(1) / (samples * values[r]); });
    sum_columns(device, kernel, w);
  }

  template <class Scalar, class Kernel>
  static void finish(const Device& device, MatrixView<Kernel> kernel, Workspace<Scalar>& w, MatrixView<Scalar> out) {
    using A = Accumulator<Scalar>;
    sum_rows(device, kernel, w);
    const A *const sums = w.row_values.data(), *const factors = w.factors.data();
    detail::for_each_entry(device.policy(), out.rows, out.cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      const A entry = static_cast<A>(kernel.data[r * kernel.stride + c]);
      out.data[r * out.stride + c] = static_cast<Scalar>(entry * factors[c] * (A(1) / sums[r]));
    });
  }

  template <class Scalar, class A>
  static void log_columns(const Device& device, MatrixView<const Scalar> scores, A maximum, double epsilon,
                          bool first_iteration, Workspace<Scalar>& w) {
    using L = typename Workspace<Scalar>::L;
    using Sum = detail::LogSum<L>;
    const detail::ScoreExponent<Scalar, L> exponent{scores, static_cast<L>(maximum), static_cast<L>(epsilon),
                                                    first_iteration ? nullptr : w.row_potentials.data(), nullptr};
    const auto entry = [exponent] SWAV_HOST_DEVICE(Index r, Index c) { return Sum{exponent(r, c), L(1)}; };
    Sum* const found = w.column_exponentials.data();
    detail::reduce_columns(device.policy(), scores.rows, scores.cols, entry, detail::AddExponentials<L>(),
                           Sum{std::numeric_limits<L>::lowest(), L(0)}, w.partial_exponentials.data(), found);
    L* const largest = w.largest.data();
    detail::for_each_index(device.policy(), scores.cols,
                           [=] SWAV_HOST_DEVICE(Index k) { largest[k] = found[k].largest; });
    relative_sums(device, scores.cols, w);
  }

  template <class Scalar, class Group>
  static void log_merge(const Device& device, const Group& group, Index columns, Workspace<Scalar>& w) {
    group.maximum(w.largest.data(), columns);
    relative_sums(device, columns, w);
    group.sum(w.sums.data(), columns);
  }

  template <class Scalar>
  static void log_column_potentials(const Device& device, Index columns, Workspace<Scalar>& w) {
    using L = typename Workspace<Scalar>::L;
    const auto* const masses = w.column_masses.data();
    const L *const largest = w.largest.data(), *const sums = w.sums.data();
    L* const potentials = w.column_potentials.data();
    detail::for_each_index(device.policy(), columns, [=] SWAV_HOST_DEVICE(Index k) {
      potentials[k] = std::log(static_cast<L>(masses[k])) - (largest[k] + std::log(sums[k]));
    });
  }

  template <class Scalar, class A>
  static void log_rows(const Device& device, MatrixView<const Scalar> scores, A maximum, double epsilon, A samples,
                       Workspace<Scalar>& w) {
    using L = typename Workspace<Scalar>::L;
    add_rows(device, scores, maximum, epsilon, w);
    const auto* const rows = w.row_exponentials.data();
    L* const potentials = w.row_potentials.data();
    const L log_samples = std::log(static_cast<L>(samples));
    detail::for_each_index(device.policy(), scores.rows, [=] SWAV_HOST_DEVICE(Index r) {
      potentials[r] = -log_samples - (rows[r].largest + std::log(rows[r].sum));
    });
  }

  template <class Scalar, class A>
  static void log_finish(const Device& device, MatrixView<const Scalar> scores, A maximum, double epsilon,
                         Workspace<Scalar>& w, MatrixView<Scalar> out) {
    using L = typename Workspace<Scalar>::L;
    const auto exponent = add_rows(device, scores, maximum, epsilon, w);
    const auto* const rows = w.row_exponentials.data();
    detail::for_each_entry(device.policy(), out.rows, out.cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      const L code = std::exp(exponent(r, c) - rows[r].largest) * (L(1) / rows[r].sum);
      out.data[r * out.stride + c] = static_cast<Scalar>(static_cast<A>(code));
    });
  }

  template <class Scalar>
  static void harden(const Device& device, Workspace<Scalar>& w, MatrixView<Scalar> codes) {
    using A = Accumulator<Scalar>;
    const auto entry = [codes] SWAV_HOST_DEVICE(Index r, Index c) {
      return detail::LargestEntry<A>{static_cast<A>(codes.data[r * codes.stride + c]), c};
    };
    auto* const chosen = w.largest_entries.data();
    detail::reduce_rows(device, codes.rows, codes.cols, entry, detail::FirstLargest<A>(), chosen);
    detail::for_each_entry(device.policy(), codes.rows, codes.cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      codes.data[r * codes.stride + c] = static_cast<Scalar>(c == chosen[r].column ? A(1) : A(0));
    });
  }

  // Below are parts of the passes; nvcc allows no lambdas of device code in private functions.

  /// row_values = K v, added up in double or better: one after the other, there are many.
  template <class Scalar, class Kernel>
  static void sum_rows(const Device& device, MatrixView<Kernel> kernel, Workspace<Scalar>& w) {
    using A = Accumulator<Scalar>;
    using L = typename Workspace<Scalar>::L;
    const A* const factors = w.factors.data();
    const auto entry = [=] SWAV_HOST_DEVICE(Index r, Index c) {
      return static_cast<L>(static_cast<A>(kernel.data[r * kernel.stride + c]) * factors[c]);
    };
    detail::reduce_rows(device, kernel.rows, kernel.cols, entry, thrust::plus<L>(), w.row_values.data());
  }

  /// column_sums = K' row_values
  template <class Scalar, class Kernel>
  static void sum_columns(const Device& device, MatrixView<Kernel> kernel, Workspace<Scalar>& w) {
    using A = Accumulator<Scalar>;
    const A* const values = w.row_values.data();
    const auto entry = [=] SWAV_HOST_DEVICE(Index r, Index c) {
      return static_cast<A>(kernel.data[r * kernel.stride + c]) * values[r];
    };
    detail::reduce_columns(device.policy(), kernel.rows, kernel.cols, entry, thrust::plus<A>(), A(0),
                           w.partial_sums.data(), w.column_sums.data());
  }

  /// The columns' sums as multiples of exp(largest).
  template <class Scalar>
  static void relative_sums(const Device& device, Index columns, Workspace<Scalar>& w) {
    using L = typename Workspace<Scalar>::L;
    const auto* const found = w.column_exponentials.data();
    const L* const largest = w.largest.data();
    L* const sums = w.sums.data();
    detail::for_each_index(device.policy(), columns, [=] SWAV_HOST_DEVICE(Index k) {
      sums[k] = found[k].sum * std::exp(found[k].largest - largest[k]);
    });
  }

  /// row_exponentials = sum_k exp(x_bk + g_k); returns those exponents.
  template <class Scalar, class A>
  static detail::ScoreExponent<Scalar, typename Workspace<Scalar>::L> add_rows(const Device& device,
                                                                               MatrixView<const Scalar> scores,
                                                                               A maximum, double epsilon,
                                                                               Workspace<Scalar>& w) {
    using L = typename Workspace<Scalar>::L;
    const detail::ScoreExponent<Scalar, L> exponent{scores, static_cast<L>(maximum), static_cast<L>(epsilon), nullptr,
                                                    w.column_potentials.data()};
    const auto entry = [exponent] SWAV_HOST_DEVICE(Index r, Index c) {
      return detail::LogSum<L>{exponent(r, c), L(1)};
    };
    detail::reduce_rows(device, scores.rows, scores.cols, entry, detail::AddExponentials<L>(),
                        w.row_exponentials.data());
    return exponent;
  }
};

}  // namespace swav
