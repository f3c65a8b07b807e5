// Non-owning row-major matrices and vectors, the currency between components and backends. In: anything contiguous
// along its rows (an Eigen row-major matrix, map or block; a raw pointer). Out: a trivially copyable view.
// Free of Eigen, so that device code can include it.
#pragma once

#include <cstddef>
#include <type_traits>

#include "swav/core/error.hpp"
#include "swav/core/host_device.hpp"

namespace swav {

using Index = std::ptrdiff_t;

/// A rows x cols row-major matrix in somebody else's memory; row r starts at data + r * stride (stride in elements,
/// stride >= cols). `T` may be const. Copying the view copies no element.
template <class T>
struct MatrixView {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;

  constexpr MatrixView() = default;
  SWAV_HOST_DEVICE constexpr MatrixView(T* first, Index row_count, Index column_count)
      : data(first), rows(row_count), cols(column_count), stride(column_count) {}
  SWAV_HOST_DEVICE constexpr MatrixView(T* first, Index row_count, Index column_count, Index row_stride)
      : data(first), rows(row_count), cols(column_count), stride(row_stride) {}

  /// A const view from a mutable one.
  template <class U>
  requires(std::is_same_v<T, const U>) constexpr MatrixView(const MatrixView<U>& other)
      : data(other.data), rows(other.rows), cols(other.cols), stride(other.stride) {}

  /// From a row-major Eigen-like object. A column-major one does not convert: copying it silently is what we refuse.
  /// Throws InvalidInput when consecutive elements of a row are not adjacent.
  template <class Dense>
  requires requires(Dense& m) {
    requires std::is_convertible_v<decltype(m.data()), T*>;
    requires bool(std::remove_cvref_t<Dense>::IsRowMajor);
    m.outerStride();
    m.innerStride();
  }
  constexpr MatrixView(Dense&& m) : data(m.data()), rows(m.rows()), cols(m.cols()), stride(m.outerStride()) {
    detail::require(m.innerStride() == 1, "matrix: inner stride ", m.innerStride(),
                    " found, 1 wanted (elements of a row must be adjacent)");
  }

  [[nodiscard]] SWAV_HOST_DEVICE constexpr T* row(Index r) const { return data + r * stride; }
  [[nodiscard]] SWAV_HOST_DEVICE constexpr T& operator()(Index r, Index c) const { return data[r * stride + c]; }
  [[nodiscard]] SWAV_HOST_DEVICE constexpr Index size() const { return rows * cols; }
  [[nodiscard]] SWAV_HOST_DEVICE constexpr MatrixView middle_rows(Index first, Index count) const {
    return {data + first * stride, count, cols, stride};
  }
};

/// `size` adjacent elements in somebody else's memory.
template <class T>
struct VectorView {
  T* data = nullptr;
  Index size = 0;

  constexpr VectorView() = default;
  SWAV_HOST_DEVICE constexpr VectorView(T* first, Index count) : data(first), size(count) {}

  /// From anything with data() and size(): std::vector, std::span, std::array, an Eigen vector.
  template <class Range>
  requires requires(Range& r) {
    requires std::is_convertible_v<decltype(r.data()), T*>;
    r.size();
  }
  constexpr VectorView(Range&& r) : data(r.data()), size(static_cast<Index>(r.size())) {}

  template <class U>
  requires(std::is_same_v<T, const U>) constexpr VectorView(const VectorView<U>& other)
      : data(other.data), size(other.size) {}

  [[nodiscard]] SWAV_HOST_DEVICE constexpr T& operator[](Index i) const { return data[i]; }
  [[nodiscard]] SWAV_HOST_DEVICE constexpr T* begin() const { return data; }
  [[nodiscard]] SWAV_HOST_DEVICE constexpr T* end() const { return data + size; }
};

namespace detail {

/// Throws InvalidInput when a view cannot be one of a matrix: rows that overlap, no memory behind entries.
template <class T>
void check_view(const char* name, MatrixView<T> view) {
  require(view.rows >= 0 && view.cols >= 0, name, ": shape ", view.rows, " x ", view.cols,
          " found, 0 or more rows and columns wanted");
  require(view.data != nullptr || view.size() == 0, name, ": a null pointer to ", view.rows, " x ", view.cols,
          " entries found");
  require(view.rows <= 1 || view.stride >= view.cols, name, ": stride ", view.stride, " found, the number of columns, ",
          view.cols, ", or more wanted");
}

}  // namespace detail

}  // namespace swav
