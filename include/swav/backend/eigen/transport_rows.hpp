// What the passes of Sinkhorn::solve do with a few rows: products with vectors. In: rows in their own type.
// Out: rows and sums in a wider one.
#pragma once

#include <algorithm>
#include <limits>

#include "swav/backend/eigen/device.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav::detail {

/// 1/epsilon, finite for any epsilon > 0: what it multiplies is 0 or clamped.
template <class L>
[[nodiscard]] L inverse_of(L epsilon) {
  return std::min(L(1) / epsilon, std::numeric_limits<L>::max());
}

/// Exponentials of less are not normal numbers, and are taken for 0.
template <class T>
[[nodiscard]] constexpr T lowest_exponent() {
  return static_cast<T>(0.6931L * (std::numeric_limits<T>::min_exponent + 1));
}

/// values <- exp(values), 0 where that is not a normal number. (Eigen makes no vector instructions of a select with an
/// exponential inside.)
template <class T>
void exponentiate(ArrayMap<T>& values) {
  // Eigen's exponential clamps its argument, and may be off by a rounding there.
  const T smallest = T(8) * std::numeric_limits<T>::min();
  values = values.exp();
  for (Index j = 0; j < values.size(); ++j) values[j] = values[j] > smallest ? values[j] : T(0);
}

/// out[r] = sum_j rows[r * stride + j] v[j] for Rows rows. Sums are kept in lanes, which compilers turn into vectors.
template <int Rows, class Kernel, class L>
void dot_rows(const Kernel* rows, Index stride, const L* v, Index cols, L* out) {
  constexpr int lanes = 8;
  L sums[Rows][lanes] = {};
  Index j = 0;
  for (; j + lanes <= cols; j += lanes)
    for (int r = 0; r < Rows; ++r)
      for (int lane = 0; lane < lanes; ++lane)
        sums[r][lane] += static_cast<L>(rows[r * stride + j + lane]) * v[j + lane];
  for (int r = 0; r < Rows; ++r) {
    L total = 0;
    for (int lane = 0; lane < lanes; ++lane) total += sums[r][lane];
    for (Index rest = j; rest < cols; ++rest) total += static_cast<L>(rows[r * stride + rest]) * v[rest];
    out[r] = total;
  }
}

/// sums[j] += sum_r weights[r] rows[r * stride + j] for Rows rows.
template <int Rows, class Kernel, class L>
void add_rows(const Kernel* rows, Index stride, const L* weights, Index cols, L* __restrict sums) {
  for (Index j = 0; j < cols; ++j) {
    L sum = sums[j];
    for (int r = 0; r < Rows; ++r) sum += weights[r] * static_cast<L>(rows[r * stride + j]);
    sums[j] = sum;
  }
}

}  // namespace swav::detail
