// The CPU device. In: a thread count. Out: buffers, the owning matrix, and a loop over blocks of rows on OpenMP
// threads.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "swav/backend/eigen/scalar.hpp"
#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav {
namespace detail {

/// `bytes` of memory aligned to a cache line, or, where there are many, to a huge page, which Linux is then asked for:
/// a matrix that does not fit the caches is read faster through few pages. Throws std::bad_alloc.
inline void* allocate_pages(std::size_t bytes) {
  constexpr std::size_t line = 64, huge_page = std::size_t{2} << 20;
  const bool many = bytes >= 2 * huge_page;
  const std::size_t alignment = many ? huge_page : line;
  void* const memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr && bytes > 0) throw std::bad_alloc();
#ifdef __linux__
  if (many) ::madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return memory;
}

}  // namespace detail

/// The owning host matrix: dense, row-major, one row a sample.
template <class T>
using RowMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The CPU as a device. `Product` computes the matrix products (backend/eigen/product.hpp has Eigen's;
/// backend/eigen/onednn_product.hpp has oneDNN's). Copyable; copies share nothing.
template <class Product>
class BasicEigenDevice {
 public:
  using product = Product;

  template <class T>
  using Matrix = RowMatrix<T>;

  /// Uninitialised storage, 64-byte aligned, that only ever grows.
  template <class T>
  class Buffer {
   public:
    /// Storage for at least `count` elements; allocates only when more than ever before is asked for, and then the old
    /// contents are lost.
    T* reserve(Index count) {
      if (count > capacity_) {
        storage_.reset();
        capacity_ = 0;
        storage_.reset(static_cast<T*>(detail::allocate_pages(static_cast<std::size_t>(count) * sizeof(T))));
        capacity_ = count;
      }
      return storage_.get();
    }
    [[nodiscard]] T* data() const { return storage_.get(); }

   private:
    struct Free {
      void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T, Free> storage_;
    Index capacity_ = 0;
  };

  BasicEigenDevice() = default;
  /// `threads` 0 means as many as OpenMP offers; without OpenMP there is one.
  explicit BasicEigenDevice(int threads) : threads_(threads) {
    detail::require(threads >= 0, "EigenDevice: threads ", threads, " found, 0 (all) or more wanted");
  }

  [[nodiscard]] int threads() const {
#ifdef _OPENMP
    return threads_ > 0 ? threads_ : omp_get_max_threads();
#else
    return 1;
#endif
  }

  /// The device for what is done within a share.
  [[nodiscard]] BasicEigenDevice of_share() const { return BasicEigenDevice(1); }

  /// How many shares `for_shares` makes of `rows`.
  [[nodiscard]] int shares(Index rows) const { return static_cast<int>(std::min<Index>(threads(), rows)); }

  /// Calls body(share, first, count) for contiguous shares of `rows`, at most one a thread, each on its own thread. The
  /// shares depend on the thread count alone, so sums made a share at a time repeat bit for bit. Exceptions thrown by
  /// `body` are rethrown to the caller.
  template <class Body>
  void for_shares(Index rows, Body&& body) const {
    const int count = shares(rows);
    if (count <= 1) {
      if (rows > 0) body(0, Index{0}, rows);
      return;
    }
#ifdef _OPENMP
    std::exception_ptr failure;
#pragma omp parallel for num_threads(count) schedule(static, 1)
    for (int thread = 0; thread < count; ++thread) {
      const Index first = rows * thread / count;
      const Index last = rows * (thread + 1) / count;
      try {
        body(thread, first, last - first);
      } catch (...) {
#pragma omp critical(swav_for_shares)
        failure = std::current_exception();
      }
    }
    if (failure) std::rethrow_exception(failure);
#endif
  }

 private:
  int threads_ = 0;
};

namespace detail {

template <class T>
using ArrayMap = Eigen::Map<Eigen::Array<T, 1, Eigen::Dynamic>>;
template <class T>
using ConstArrayMap = Eigen::Map<const Eigen::Array<T, 1, Eigen::Dynamic>>;
template <class T>
using MatrixMap = Eigen::Map<RowMatrix<T>, 0, Eigen::OuterStride<>>;
template <class T>
using ConstMatrixMap = Eigen::Map<const RowMatrix<T>, 0, Eigen::OuterStride<>>;

template <class T>
[[nodiscard]] MatrixMap<T> as_eigen(MatrixView<T> m) {
  return {m.data, m.rows, m.cols, Eigen::OuterStride<>(m.stride)};
}
template <class T>
[[nodiscard]] ConstMatrixMap<T> as_eigen(MatrixView<const T> m) {
  return {m.data, m.rows, m.cols, Eigen::OuterStride<>(m.stride)};
}

}  // namespace detail
}  // namespace swav
