// CudaDevice under the typed tests, with host matrices on both sides. In: views of host memory. Out: the same memory
// with what the GPU made of it; strides, alignment and overlap are as in the host's. long double stays on the CPU.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/backend/cuda.cuh"
#include "swav/sinkhorn/sinkhorn.hpp"

namespace swav::test {

template <class Scalar>
struct DeviceScalarOf {
  using type = Scalar;
};
template <>
struct DeviceScalarOf<Eigen::half> {
  using type = __half;
};
template <>
struct DeviceScalarOf<Eigen::bfloat16> {
  using type = __nv_bfloat16;
};
template <class Scalar>
using DeviceScalar = typename DeviceScalarOf<Scalar>::type;

/// A GPU's copy of a stretch of host memory, at the same distance from an address of 16 bytes.
class Mirror {
 public:
  template <class T>
  void take(MatrixView<T> view) {
    if (view.size() == 0) return;
    const auto* const begin = reinterpret_cast<const char*>(view.data);
    const auto* const end = reinterpret_cast<const char*>(view.row(view.rows - 1) + view.cols);
    begin_ = begin_ == nullptr || begin < begin_ ? begin : begin_;
    end_ = end > end_ ? end : end_;
  }
  [[nodiscard]] bool meets(const Mirror& other) const { return begin_ < other.end_ && other.begin_ < end_; }

  void upload() {
    const std::size_t shift = reinterpret_cast<std::uintptr_t>(begin_) % 16;
    data_ = memory_.reserve(static_cast<Index>(bytes() + shift)) + shift;
    if (bytes() > 0) detail::check_cuda(cudaMemcpy(data_, begin_, bytes(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  template <class T>
  [[nodiscard]] auto on_device(MatrixView<T> view) const {
    using D = std::conditional_t<std::is_const_v<T>, const DeviceScalar<std::remove_const_t<T>>, DeviceScalar<T>>;
    const std::ptrdiff_t at = view.data == nullptr ? 0 : reinterpret_cast<const char*>(view.data) - begin_;
    D* const data = view.data == nullptr ? nullptr : reinterpret_cast<D*>(data_ + at);
    return MatrixView<D>(data, view.rows, view.cols, view.stride);
  }
  void download() const {
    if (bytes() > 0)
      detail::check_cuda(cudaMemcpy(const_cast<char*>(begin_), data_, bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
  }

 private:
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(end_ - begin_); }

  CudaBuffer<char> memory_;
  char* data_ = nullptr;
  const char *begin_ = nullptr, *end_ = nullptr;
};

/// body(device input, device output), of copies of the two views: one copy where they overlap.
template <class In, class Out, class Body>
void with_mirrors(const CudaDevice& device, MatrixView<const In> in, MatrixView<Out> out, Body body) {
  // What a component refuses must be refused before memory is read that is not there.
  const auto readable = [](auto view) {
    return view.data != nullptr && view.rows > 0 && view.cols > 0 && (view.rows <= 1 || view.stride >= view.cols);
  };
  Mirror inputs, outputs;
  if (readable(in)) inputs.take(in);
  if (readable(out)) outputs.take(out);
  const bool one = inputs.meets(outputs);
  if (one) inputs.take(out);
  inputs.upload();
  if (!one) outputs.upload();
  const auto device_in =
      readable(in) ? inputs.on_device(in) : MatrixView<const DeviceScalar<In>>(nullptr, in.rows, in.cols, in.stride);
  const auto device_out = readable(out) ? (one ? inputs : outputs).on_device(out)
                                        : MatrixView<DeviceScalar<Out>>(nullptr, out.rows, out.cols, out.stride);
  body(device_in, device_out);
  device.synchronize();
  (one ? inputs : outputs).download();
}

using TestDevice = CudaDevice;
inline TestDevice test_device(int) { return CudaDevice(); }
inline constexpr int slowness = 20;
inline constexpr bool counts_allocations = false;  // of the copies around each call; a captured step has none
inline constexpr bool waits_for_results = false;
inline constexpr bool scores_are_halves = true;  // of 16-bit scalars, in the loss
inline constexpr bool scaling_is_wide = true;    // sums are in double where floats could leave their range

template <class T>
auto on_device(const RowMatrix<T>& matrix) {
  using D = DeviceScalar<T>;
  return CudaMatrix<D>(MatrixView<const D>(reinterpret_cast<const D*>(matrix.data()), matrix.rows(), matrix.cols()));
}
/// As the host's type T, or as it is.
template <class T = void, class D>
auto on_host(const CudaMatrix<D>& matrix) {
  RowMatrix<std::conditional_t<std::is_void_v<T>, D, T>> copy(matrix.rows(), matrix.cols());
  matrix.copy_to(MatrixView<D>(reinterpret_cast<D*>(copy.data()), copy.rows(), copy.cols()));
  return copy;
}

/// Copies of host memory on the GPU, which whoever refers to them keeps.
class Copies {
 public:
  template <class T>
  MatrixView<const DeviceScalar<T>> operator()(MatrixView<const T> view) {
    if (view.data == nullptr || view.rows <= 0 || view.cols <= 0 || (view.rows > 1 && view.stride < view.cols))
      return {nullptr, view.rows, view.cols, view.stride};
    kept_.push_back(std::make_shared<Mirror>());
    kept_.back()->take(view);
    kept_.back()->upload();
    return kept_.back()->on_device(view);
  }
  template <class T>
  VectorView<const DeviceScalar<T>> operator()(VectorView<const T> view) {
    return {(*this)(MatrixView<const T>(view.data, 1, view.size)).data, view.size};
  }
  template <class Scalar, class Metric>
  auto operator()(const PointCost<Scalar, Metric>& cost) {
    return PointCost<DeviceScalar<Scalar>, Metric>((*this)(cost.x), (*this)(cost.y), cost.metric);
  }

 private:
  std::vector<std::shared_ptr<Mirror>> kept_;
};

/// A transport on the GPU, with host matrices.
template <class Scalar, class Base>
struct CudaResult : Base {
  Copies copies;
  [[nodiscard]] RowMatrix<Scalar> plan() const { return on_host<Scalar>(Base::plan()); }
  [[nodiscard]] RowMatrix<Scalar> apply(const RowMatrix<Scalar>& x, int axis = 1) const {
    return on_host<Scalar>(Base::apply(on_device(x), axis));
  }
  [[nodiscard]] RowMatrix<Scalar> map(const RowMatrix<Scalar>& z) const {
    return on_host<Scalar>(Base::map(on_device(z)));
  }
};

template <class Scalar>
class CudaSinkhorn {
  using View = MatrixView<const Scalar>;
  using Masses = VectorView<const Scalar>;
  using Base = swav::Sinkhorn<DeviceScalar<Scalar>, CudaDevice>;

 public:
  using Result = CudaResult<Scalar, typename Base::Result>;
  template <class Metric>
  using PointResult = CudaResult<Scalar, typename Base::template PointResult<Metric>>;

  Result solve(View cost, Masses a = {}, Masses b = {}, const Result* warm = nullptr) {
    return solved<Result>(cost, a, b, warm);
  }
  template <class Metric>
  PointResult<Metric> solve(const PointCost<Scalar, Metric>& cost, Masses a = {}, Masses b = {},
                            const PointResult<Metric>* warm = nullptr) {
    return solved<PointResult<Metric>>(cost, a, b, warm);
  }
  void solve_into(View cost, Masses a, Masses b, Result& result, const Result* warm = nullptr) {
    run(cost, a, b, result, warm);
  }

  explicit CudaSinkhorn(SinkhornOptions options = {}, TestDevice device = CudaDevice())
      : device_(device), base_(std::move(options), device) {}

  RowMatrix<Scalar> codes(View scores) { return codes_of_last(scores, scores.rows); }
  RowMatrix<Scalar> codes_of_last(View scores, Index rows) {
    detail::require(rows >= 0 && rows <= scores.rows, "rows");
    RowMatrix<Scalar> result(rows, scores.cols);
    codes_of_last_into(scores, result);
    return result;
  }
  void codes_into(View scores, MatrixView<Scalar> out) {
    with_mirrors(device_, scores, out, [&](auto in, auto to) { base_.codes_into(in, to); });
  }
  void codes_of_last_into(View scores, MatrixView<Scalar> out) {
    with_mirrors(device_, scores, out, [&](auto in, auto to) { base_.codes_of_last_into(in, to); });
  }

 private:
  template <class Found, class Cost>
  Found solved(const Cost& cost, Masses a, Masses b, const Found* warm) {
    Found result;
    run(cost, a, b, result, warm);
    return result;
  }
  template <class Found, class Cost>
  void run(const Cost& cost, Masses a, Masses b, Found& result, const Found* warm) {
    Copies copies, masses;
    base_.solve_into(copies(cost), masses(a), masses(b), result, warm);
    result.copies = std::move(copies);
  }

  CudaDevice device_;
  Base base_;
};

class CpuSinkhorn : public swav::Sinkhorn<long double> {
 public:
  explicit CpuSinkhorn(SinkhornOptions options = {}, const TestDevice& = CudaDevice())
      : swav::Sinkhorn<long double>(std::move(options)) {}
};

template <class Scalar>
using Sinkhorn = std::conditional_t<std::is_same_v<Scalar, long double>, CpuSinkhorn, CudaSinkhorn<Scalar>>;

}  // namespace swav::test
