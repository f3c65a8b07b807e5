// What the passes of Sinkhorn::solve do with a few rows: products with vectors. In: rows in their own type.
// Out: rows and sums in a wider one.
#pragma once

#include <algorithm>
#include <limits>

#include "swav/backend/eigen/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/sinkhorn/exponents.hpp"

namespace swav::detail {

/// values <- exp(values), 0 where that is not a normal number. (Eigen makes no vector instructions of a select with an
/// exponential inside.)
template <class T>
void exponentiate(ArrayMap<T>& values) {
  // Eigen's exponential clamps its argument, and may be off by a rounding there.
  const T smallest = T(8) * std::numeric_limits<T>::min();
  values = values.exp();
  for (Index j = 0; j < values.size(); ++j) values[j] = values[j] > smallest ? values[j] : T(0);
}

/// row <- exp((min row - row)/epsilon): at most 1, and 1 at the least entry, which is returned. For log-sum-exp:
/// -epsilon log sum exp(-row/epsilon) is then min row - epsilon log(sum).
template <class L>
L exponentiate_from_least(ArrayMap<L>& row, L inverse_of_epsilon) {
  const L least = row.minCoeff();
  // In cost units first: the difference is exact where it matters, and 0 at the least.
  row = ((least - row) * inverse_of_epsilon).max(lowest_exponent<L>());
  exponentiate(row);
  return least;
}

/// What an iteration does with the rows of a kernel, a few at a time: products with v, and sums weighted by u.
template <class Kernel, class L>
class RowProducts {
 public:
  RowProducts(const L* v, Index cols, L* sums) : v_(v), cols_(cols), sums_(sums) { std::fill_n(sums, cols, L(0)); }

  /// out[r] = sum_j rows[r m + j] v[j]
  void dot(const Kernel* rows, int count, L* out) const {
    int r = 0;
    for (; r + 4 <= count; r += 4) dot_some<4>(rows + r * cols_, out + r);
    for (; r < count; ++r) dot_some<1>(rows + r * cols_, out + r);
  }
  /// sums[j] += sum_r u[r] rows[r m + j]
  void add(const Kernel* rows, int count, const L* u) {
    int r = 0;
    for (; r + 4 <= count; r += 4) add_some<4>(rows + r * cols_, u + r);
    for (; r < count; ++r) add_some<1>(rows + r * cols_, u + r);
  }
  void finish() {}

 private:
  // Sums are kept in lanes, which compilers turn into vectors.
  template <int Rows>
  void dot_some(const Kernel* rows, L* out) const {
    constexpr int lanes = 8;
    L sums[Rows][lanes] = {};
    Index j = 0;
    for (; j + lanes <= cols_; j += lanes)
      for (int r = 0; r < Rows; ++r)
        for (int lane = 0; lane < lanes; ++lane)
          sums[r][lane] += static_cast<L>(rows[r * cols_ + j + lane]) * v_[j + lane];
    for (int r = 0; r < Rows; ++r) {
      L total = 0;
      for (int lane = 0; lane < lanes; ++lane) total += sums[r][lane];
      for (Index rest = j; rest < cols_; ++rest) total += static_cast<L>(rows[r * cols_ + rest]) * v_[rest];
      out[r] = total;
    }
  }
  template <int Rows>
  void add_some(const Kernel* rows, const L* u) {
    for (Index j = 0; j < cols_; ++j) {
      L sum = sums_[j];
      for (int r = 0; r < Rows; ++r) sum += u[r] * static_cast<L>(rows[r * cols_ + j]);
      sums_[j] = sum;
    }
  }

  const L* v_;
  Index cols_;
  L* sums_;
};

/// The same in float throughout, but that no more than a few hundred products are added up before they go into a sum of
/// type L: errors stay at float's own rounding, at several times the speed. For factors well inside float's range.
template <class L>
class SingleProducts {
 public:
  /// single_sums: m elements of scratch
  SingleProducts(const float* v, Index cols, float* single_sums, L* sums)
      : v_(v, cols), cols_(cols), single_(single_sums, cols), sums_(sums) {
    single_.setZero();
    std::fill_n(sums, cols, L(0));
  }

  void dot(const float* rows, int count, L* out) const {
    std::fill_n(out, count, L(0));
    for (Index first = 0; first < cols_; first += run) {
      const Index length = std::min(run, cols_ - first);
      Eigen::Matrix<float, Eigen::Dynamic, 1, 0, 8, 1> part(count);
      part.noalias() = block(rows + first, count, length) * v_.segment(first, length);
      for (int r = 0; r < count; ++r) out[r] += static_cast<L>(part[r]);
    }
  }
  void add(const float* rows, int count, const L* u) {
    const auto term = [&](int r) { return static_cast<float>(u[r]) * ConstArrayMap<float>(rows + r * cols_, cols_); };
    int r = 0;
    for (; r + 4 <= count; r += 4) single_ += (term(r) + term(r + 1)) + (term(r + 2) + term(r + 3));
    for (; r < count; ++r) single_ += term(r);
    added_ += count;
    if (added_ >= run) finish();
  }
  void finish() {
    for (Index j = 0; j < cols_; ++j) sums_[j] += static_cast<L>(single_[j]);
    single_.setZero();
    added_ = 0;
  }

 private:
  static constexpr Index run = 256;

  [[nodiscard]] ConstMatrixMap<float> block(const float* rows, Index count, Index length) const {
    return as_eigen(MatrixView<const float>(rows, count, length, cols_));
  }

  Eigen::Map<const Eigen::VectorXf> v_;
  Index cols_, added_ = 0;
  ArrayMap<float> single_;
  L* sums_;
};

}  // namespace swav::detail
