// Row normalisation on the CPU. In: row-major host memory. Out: host memory.
#pragma once

#include <cmath>
#include <limits>

#include "swav/backend/eigen/device.hpp"
#include "swav/backend/eigen/row_norm.hpp"
#include "swav/core/row_passes.hpp"

namespace swav {

template <class Product>
struct RowPasses<BasicEigenDevice<Product>> {
  using Device = BasicEigenDevice<Product>;

  template <class From, class To>
  static Accumulator<From> normalize(const Device& device, MatrixView<const From> rows, MatrixView<To> unit,
                                     Accumulator<From>* norms) {
    using A = Accumulator<From>;
    device.for_shares(rows.rows, [&](int, Index first, Index count) {
      for (Index r = first; r < first + count; ++r) {
        const detail::ConstArrayMap<From> row(rows.row(r), rows.cols);
        norms[r] = detail::row_norm<A>(row);
        const A scale = norms[r] > A(0) ? A(1) / norms[r] : A(0);
        detail::ArrayMap<To> target(unit.row(r), unit.cols);
        // 1/norm overflows for a subnormal norm; dividing does not.
        if (std::isfinite(scale))
          target = (row.template cast<A>() * scale).template cast<To>();
        else
          target = (row.template cast<A>() / norms[r]).template cast<To>();
      }
    });
    return largest(norms, rows.rows);
  }

  template <class From>
  static Accumulator<From> largest_norm(const Device&, MatrixView<const From> rows) {
    using A = Accumulator<From>;
    A result = 0;
    for (Index r = 0; r < rows.rows; ++r) {
      const A length = detail::row_norm<A>(detail::ConstArrayMap<From>(rows.row(r), rows.cols));
      if (!std::isfinite(length)) return std::numeric_limits<A>::quiet_NaN();
      result = std::max(result, length);
    }
    return result;
  }

  template <class A>
  static void normalize_gradient(const Device& device, MatrixView<const A> unit, const A* norms,
                                 MatrixView<A> gradient) {
    device.for_shares(unit.rows, [&](int, Index first, Index count) {
      for (Index r = first; r < first + count; ++r) {
        const detail::ConstArrayMap<A> direction(unit.row(r), unit.cols);
        detail::ArrayMap<A> g(gradient.row(r), gradient.cols);
        if (norms[r] > A(0)) {
          const A along = (g * direction).sum();
          g = (g - along * direction) / norms[r];
        } else {
          g.setZero();
        }
      }
    });
  }

  template <class T>
  static void copy_in(const Device&, MatrixView<const T> host, MatrixView<T> to) {
    for (Index r = 0; r < host.rows; ++r) std::copy_n(host.row(r), host.cols, to.row(r));
  }

  template <class T>
  static void copy_out(const Device&, MatrixView<const T> from, MatrixView<T> host) {
    for (Index r = 0; r < from.rows; ++r) std::copy_n(from.row(r), from.cols, host.row(r));
  }

  template <class From, class To>
  static void convert(const Device& device, MatrixView<const From> from, MatrixView<To> to) {
    device.for_shares(from.rows, [&](int, Index first, Index count) {
      for (Index r = first; r < first + count; ++r)
        detail::ArrayMap<To>(to.row(r), to.cols) =
            detail::ConstArrayMap<From>(from.row(r), from.cols).template cast<To>();
    });
  }

  template <class A>
  static void add(const Device& device, MatrixView<const A> rows, MatrixView<A> sums) {
    device.for_shares(rows.rows, [&](int, Index first, Index count) {
      for (Index r = first; r < first + count; ++r)
        detail::ArrayMap<A>(sums.row(r), sums.cols) += detail::ConstArrayMap<A>(rows.row(r), rows.cols);
    });
  }

  template <class A>
  static void clear(const Device& device, MatrixView<A> rows) {
    device.for_shares(rows.rows, [&](int, Index first, Index count) {
      for (Index r = first; r < first + count; ++r) detail::ArrayMap<A>(rows.row(r), rows.cols).setZero();
    });
  }

 private:
  template <class A>
  static A largest(const A* norms, Index count) {
    A result = 0;
    for (Index r = 0; r < count; ++r) {
      if (!std::isfinite(norms[r])) return std::numeric_limits<A>::quiet_NaN();
      result = std::max(result, norms[r]);
    }
    return result;
  }
};

}  // namespace swav
