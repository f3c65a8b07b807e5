// Matrix products by Eigen. In: row-major views. Out: out = alpha op(a) op(b) + beta out, on the calling thread.
#pragma once

#include "swav/backend/eigen/device.hpp"

namespace swav {

namespace detail {

/// Keeps Eigen from starting threads of its own for a product that the calling thread makes outside any parallel
/// region: they would ignore the device's number of threads, round differently for each number, and wait for each other
/// busily. Eigen asks OpenMP how many it may start, which is a setting of the calling thread alone.
class OneEigenThread {
 public:
#ifdef _OPENMP
  OneEigenThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneEigenThread() { omp_set_num_threads(before_); }
#else
  OneEigenThread() {}
#endif
  OneEigenThread(const OneEigenThread&) = delete;
  OneEigenThread& operator=(const OneEigenThread&) = delete;

#ifdef _OPENMP
 private:
  int before_;
#endif
};

}  // namespace detail

/// Whether an operand of a product is read transposed.
enum class Transpose { no, yes };

/// The product hook that BasicEigenDevice takes: a type with this one static function. beta is 0 (out is not read)
/// or 1. Shapes: op(a) is out.rows x n, op(b) is n x out.cols. No operand may overlap `out`. Runs on the calling
/// thread, unless the program has called Eigen::setNbThreads: the components divide the rows among threads themselves.
/// O(rows cols n).
struct EigenProduct {
  template <class T>
  static void multiply(MatrixView<const T> a, Transpose transpose_a, MatrixView<const T> b, Transpose transpose_b,
                       T alpha, T beta, MatrixView<T> out) {
    const detail::OneEigenThread one_thread;
    const auto left = detail::as_eigen(a);
    const auto right = detail::as_eigen(b);
    auto result = detail::as_eigen(out);
    if (beta == T(0)) result.setZero();
    if (transpose_a == Transpose::no && transpose_b == Transpose::no)
      result.noalias() += alpha * left * right;
    else if (transpose_a == Transpose::no)
      result.noalias() += alpha * left * right.transpose();
    else if (transpose_b == Transpose::no)
      result.noalias() += alpha * left.transpose() * right;
    else
      result.noalias() += alpha * left.transpose() * right.transpose();
  }
};

}  // namespace swav
