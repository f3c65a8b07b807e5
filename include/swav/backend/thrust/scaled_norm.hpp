// Norms of rows whose squares stay in the range, as reductions. In: entries of a matrix. Out: functors.
#pragma once

#include <cmath>
#include <limits>

#include "swav/core/host_device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"

namespace swav::detail {

/// sqrt(squares) scale: a norm whose squares stay in the range. Infinite and NaN entries stay what they are.
template <class A>
struct ScaledNorm {
  A scale, squares;
  SWAV_HOST_DEVICE explicit operator A() const { return scale * std::sqrt(squares); }
};
template <class A>
struct AddScaledNorms {
  SWAV_HOST_DEVICE ScaledNorm<A> operator()(const ScaledNorm<A>& x, const ScaledNorm<A>& y) const {
    if (!(x.scale >= y.scale)) return x.scale < y.scale ? (*this)(y, x) : ScaledNorm<A>{x.scale + y.scale, A(1)};
    if (!(x.scale > 0) || x.scale > std::numeric_limits<A>::max()) return x;
    const A ratio = y.scale / x.scale;
    return {x.scale, x.squares + y.squares * ratio * ratio};
  }
};

template <class Scalar, class A>
struct EntryAsNorm {
  MatrixView<const Scalar> entries;
  SWAV_HOST_DEVICE ScaledNorm<A> operator()(Index row, Index column) const {
    return {std::abs(static_cast<A>(static_cast<Accumulator<Scalar>>(entries(row, column)))), A(1)};
  }
};

}  // namespace swav::detail
