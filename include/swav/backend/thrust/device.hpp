// The Thrust device. In: an execution policy. Out: buffers and the owning matrix in the policy's memory.
#pragma once

#include <thrust/copy.h>
#include <thrust/memory.h>

#include <cstddef>
#include <new>
#include <utility>

#include "swav/core/matrix_view.hpp"

namespace swav {
namespace detail {

/// Copies between the host's memory and a policy's, after what was asked of the policy before; complete when the call
/// returns. Specialised for policies that have a stream.
template <class Policy>
struct SystemCopies {
  template <class T>
  using Pointer = decltype(thrust::malloc<T>(std::declval<const Policy&>(), 1));

  template <class T>
  static void upload(const Policy&, const T* host, Index count, T* to) {
    thrust::copy_n(host, count, Pointer<T>(to));
  }
  template <class T>
  static void download(const Policy&, const T* from, Index count, T* host) {
    thrust::copy_n(Pointer<T>(const_cast<T*>(from)), count, host);
  }
};

template <class Policy, class T>
void upload(const Policy& policy, const T* host, Index count, T* to) {
  if (count > 0) SystemCopies<Policy>::upload(policy, host, count, to);
}
template <class Policy, class T>
void download(const Policy& policy, const T* from, Index count, T* host) {
  if (count > 0) SystemCopies<Policy>::download(policy, from, count, host);
}

}  // namespace detail

/// Uninitialised storage in the memory of a policy's system, that only ever grows.
template <class Policy, class T>
class ThrustBuffer {
 public:
  using Pointer = decltype(thrust::malloc<T>(std::declval<const Policy&>(), 1));

  ThrustBuffer() = default;
  ThrustBuffer(ThrustBuffer&& other) noexcept
      : data_(std::exchange(other.data_, Pointer())), capacity_(std::exchange(other.capacity_, 0)) {}
  ThrustBuffer& operator=(ThrustBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~ThrustBuffer() { release(); }

  /// Storage for at least `count` elements; allocates only when more than ever before is asked for, and then the old
  /// contents are lost.
  T* reserve(Index count) {
    if (count > capacity_) {
      release();
      data_ = thrust::malloc<T>(Policy(), static_cast<std::size_t>(count));
      if (data() == nullptr) throw std::bad_alloc();
      capacity_ = count;
    }
    return data();
  }
  [[nodiscard]] T* data() const { return thrust::raw_pointer_cast(data_); }
  /// The same with the system's tag.
  [[nodiscard]] Pointer begin() const { return data_; }

 private:
  void release() {
    if (capacity_ > 0) thrust::free(Policy(), data_);
    data_ = Pointer();
    capacity_ = 0;
  }

  Pointer data_{};
  Index capacity_ = 0;
};

/// The owning dense row-major matrix in the memory of a policy's system. Converts to a MatrixView of that memory.
template <class Policy, class T>
class ThrustMatrix {
 public:
  static constexpr bool IsRowMajor = true;

  ThrustMatrix() = default;
  ThrustMatrix(ThrustMatrix&&) noexcept = default;
  ThrustMatrix& operator=(ThrustMatrix&&) noexcept = default;
  ThrustMatrix(const ThrustMatrix& other) : ThrustMatrix(other.rows_, other.cols_) {
    thrust::copy_n(other.buffer_.begin(), other.size(), buffer_.begin());
  }
  ThrustMatrix& operator=(const ThrustMatrix& other) { return *this = ThrustMatrix(other); }
  /// Uninitialised.
  ThrustMatrix(Index rows, Index cols) { resize(rows, cols); }
  /// A copy of host memory.
  explicit ThrustMatrix(MatrixView<const T> host) : ThrustMatrix(host.rows, host.cols) {
    for (Index r = 0; r < rows_; ++r) thrust::copy_n(host.row(r), cols_, buffer_.begin() + r * cols_);
  }

  /// To host memory of this shape.
  void copy_to(MatrixView<T> host) const {
    detail::require(host.rows == rows_ && host.cols == cols_, "ThrustMatrix::copy_to: host memory of shape ", host.rows,
                    " x ", host.cols, " found, ", rows_, " x ", cols_, " wanted");
    for (Index r = 0; r < rows_; ++r) thrust::copy_n(buffer_.begin() + r * cols_, cols_, host.row(r));
  }

  /// The contents are lost.
  void resize(Index rows, Index cols) {
    buffer_.reserve(rows * cols);
    rows_ = rows;
    cols_ = cols;
  }

  [[nodiscard]] Index rows() const { return rows_; }
  [[nodiscard]] Index cols() const { return cols_; }
  [[nodiscard]] Index size() const { return rows_ * cols_; }
  [[nodiscard]] T* data() { return buffer_.data(); }
  [[nodiscard]] const T* data() const { return buffer_.data(); }
  [[nodiscard]] Index innerStride() const { return 1; }
  [[nodiscard]] Index outerStride() const { return cols_; }

 private:
  ThrustBuffer<Policy, T> buffer_;
  Index rows_ = 0, cols_ = 0;
};

/// Views of a vector of Thrust, thrust::device_vector or another: all of it, or its first rows x cols elements as a
/// matrix. Throws InvalidInput where there are fewer. Growing the vector ends the view.
template <class Vector>
[[nodiscard]] auto view_of(Vector& vector) {
  return VectorView(thrust::raw_pointer_cast(vector.data()), static_cast<Index>(vector.size()));
}
template <class Vector>
[[nodiscard]] auto view_of(Vector& vector, Index rows, Index cols) {
  detail::require(rows >= 0 && cols >= 0 && rows * cols <= static_cast<Index>(vector.size()), "view_of: ", rows, " x ",
                  cols, " elements wanted, ", vector.size(), " found");
  return MatrixView(thrust::raw_pointer_cast(vector.data()), rows, cols);
}

/// Any system of Thrust as a device: ThrustDevice(thrust::omp::par), of thrust::cpp, thrust::omp, thrust::tbb or
/// thrust::cuda. Its passes are Thrust's algorithms over fused iterators: nothing of the size of a matrix is stored
/// between them, and the arithmetic is the same on every system. A device keeps memory for what reductions leave in
/// between; each copy has its own, so that a component, which holds a copy, allocates nothing after its first call.
template <class Policy>
class ThrustDevice {
 public:
  template <class T>
  using Buffer = ThrustBuffer<Policy, T>;
  template <class T>
  using Matrix = ThrustMatrix<Policy, T>;

  ThrustDevice() = default;
  explicit ThrustDevice(const Policy& policy) : policy_(policy) {}
  ThrustDevice(const ThrustDevice& other) : policy_(other.policy_) {}
  ThrustDevice& operator=(const ThrustDevice& other) {
    policy_ = other.policy_;
    return *this;
  }

  [[nodiscard]] const Policy& policy() const { return policy_; }

  /// Work that a component would share out among threads: one share has all of it.
  [[nodiscard]] int shares(Index count) const { return count > 0 ? 1 : 0; }
  [[nodiscard]] ThrustDevice of_share() const { return *this; }
  template <class Body>
  void for_shares(Index count, const Body& body) const {
    if (count > 0) body(0, Index{0}, count);
  }

  /// Uninitialised room for `count` elements that a reduction works in, or that a pass without a workspace does; valid
  /// until the next call of the same name. Not for two threads at once.
  template <class T>
  [[nodiscard]] T* reduction_scratch(Index count) const {
    return room<T>(reduction_scratch_, count);
  }
  template <class T>
  [[nodiscard]] T* pass_scratch(Index count) const {
    return room<T>(pass_scratch_, count);
  }

 private:
  template <class T>
  static T* room(Buffer<std::max_align_t>& buffer, Index count) {
    constexpr auto unit = static_cast<Index>(sizeof(std::max_align_t));
    return reinterpret_cast<T*>(buffer.reserve((count * static_cast<Index>(sizeof(T)) + unit - 1) / unit));
  }

  Policy policy_{};
  mutable Buffer<std::max_align_t> reduction_scratch_, pass_scratch_;
};

}  // namespace swav
