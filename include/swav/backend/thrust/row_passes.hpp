// Row normalisation by Thrust. In: row-major memory of the policy's system. Out: the same.
#pragma once

#include <thrust/functional.h>

#include <cmath>
#include <limits>

#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/backend/thrust/scaled_norm.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/row_passes.hpp"
#include "swav/core/scalar_traits.hpp"

namespace swav {
namespace detail {

/// The larger, or a NaN when one of them is not finite.
template <class A>
struct LargestFinite {
  SWAV_HOST_DEVICE A operator()(A x, A y) const {
    if (!(x <= std::numeric_limits<A>::max() && y <= std::numeric_limits<A>::max()))
      return std::numeric_limits<A>::quiet_NaN();
    return x > y ? x : y;
  }
};

}  // namespace detail

template <class Policy>
struct RowPasses<ThrustDevice<Policy>> {
  using Device = ThrustDevice<Policy>;

  template <class From, class To>
  static Accumulator<From> normalize(const Device& device, MatrixView<const From> rows, MatrixView<To> unit,
                                     Accumulator<From>* norms) {
    using A = Accumulator<From>;
    const A largest = norms_of(device, rows, norms);
    detail::for_each_entry(device.policy(), rows.rows, rows.cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      const A value = static_cast<A>(rows.data[r * rows.stride + c]);
      unit.data[r * unit.stride + c] = static_cast<To>(norms[r] > A(0) ? value / norms[r] : A(0));
    });
    return largest;
  }

  template <class From>
  static Accumulator<From> largest_norm(const Device& device, MatrixView<const From> rows) {
    using A = Accumulator<From>;
    return norms_of(device, rows, device.template pass_scratch<A>(rows.rows));
  }

  template <class A>
  static void normalize_gradient(const Device& device, MatrixView<const A> unit, const A* norms,
                                 MatrixView<A> gradient) {
    A* const along = device.template pass_scratch<A>(unit.rows);
    const auto product = [=] SWAV_HOST_DEVICE(Index r, Index c) {
      return unit.data[r * unit.stride + c] * gradient.data[r * gradient.stride + c];
    };
    detail::reduce_rows(device, unit.rows, unit.cols, product, thrust::plus<A>(), along);
    detail::for_each_entry(device.policy(), unit.rows, unit.cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      A& g = gradient.data[r * gradient.stride + c];
      g = norms[r] > A(0) ? (g - along[r] * unit.data[r * unit.stride + c]) / norms[r] : A(0);
    });
  }

  template <class T>
  static void copy_in(const Device& device, MatrixView<const T> host, MatrixView<T> to) {
    for (Index r = 0; r < host.rows; ++r) detail::upload(device.policy(), host.row(r), host.cols, to.row(r));
  }

  template <class T>
  static void copy_out(const Device& device, MatrixView<const T> from, MatrixView<T> host) {
    for (Index r = 0; r < from.rows; ++r) detail::download(device.policy(), from.row(r), from.cols, host.row(r));
  }

  template <class From, class To>
  static void convert(const Device& device, MatrixView<const From> from, MatrixView<To> to) {
    detail::for_each_entry(device.policy(), from.rows, from.cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      to.data[r * to.stride + c] = static_cast<To>(from.data[r * from.stride + c]);
    });
  }

  template <class A>
  static void add(const Device& device, MatrixView<const A> rows, MatrixView<A> sums) {
    detail::for_each_entry(device.policy(), rows.rows, rows.cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      sums.data[r * sums.stride + c] += rows.data[r * rows.stride + c];
    });
  }

  template <class A>
  static void clear(const Device& device, MatrixView<A> rows) {
    detail::for_each_entry(device.policy(), rows.rows, rows.cols,
                           [=] SWAV_HOST_DEVICE(Index r, Index c) { rows.data[r * rows.stride + c] = A(0); });
  }

 private:
  template <class From>
  static Accumulator<From> norms_of(const Device& device, MatrixView<const From> rows, Accumulator<From>* norms) {
    using A = Accumulator<From>;
    detail::reduce_rows(device, rows.rows, rows.cols, detail::EntryAsNorm<From, A>{rows}, detail::AddScaledNorms<A>(),
                        norms);
    return detail::reduce_values(device, norms, rows.rows, A(0), detail::LargestFinite<A>());
  }
};

}  // namespace swav
