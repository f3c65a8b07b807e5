// The device that a test is built for. In: SWAV_TEST_THRUST, a system of Thrust (cpp, omp), SWAV_TEST_CUDA, or nothing
// for the CPU. Out: swav::test::TestDevice, what it does and does not, and matrices to it and back.
#pragma once

#include <type_traits>

#include "swav/backend/eigen/device.hpp"

#ifdef SWAV_TEST_CUDA
#include "cuda/cuda_devices.hpp"
#endif
#ifdef SWAV_TEST_THRUST
#include <thrust/system/cpp/execution_policy.h>
#include <thrust/system/omp/execution_policy.h>

#include "swav/backend/thrust/device.hpp"
#endif

namespace swav::test {

#if !defined(SWAV_TEST_THRUST) && !defined(SWAV_TEST_CUDA)

using TestDevice = EigenDevice;
inline TestDevice test_device(int threads) { return TestDevice(threads); }
inline constexpr int slowness = 1;  // random problems are fewer by this
inline constexpr bool counts_allocations = true;
inline constexpr bool waits_for_results = true;  // and names what is wrong with them
inline constexpr bool scores_are_halves = false;
inline constexpr bool scaling_is_wide = false;  // sums have no wider exponents than their scalar

template <class T>
const RowMatrix<T>& on_device(const RowMatrix<T>& matrix) {
  return matrix;
}
template <class T>
const RowMatrix<T>& on_host(const RowMatrix<T>& matrix) {
  return matrix;
}

#elif defined(SWAV_TEST_THRUST)

using TestDevice = ThrustDevice<std::remove_cvref_t<decltype(thrust::SWAV_TEST_THRUST::par)> >;
inline TestDevice test_device(int) { return TestDevice(); }
inline constexpr int slowness = 20;
inline constexpr bool counts_allocations = true;
inline constexpr bool waits_for_results = true;  // and names what is wrong with them
inline constexpr bool scores_are_halves = false;
inline constexpr bool scaling_is_wide = false;  // sums have no wider exponents than their scalar

template <class T>
using DeviceMatrix = typename TestDevice::template Matrix<T>;

template <class T>
DeviceMatrix<T> on_device(const RowMatrix<T>& matrix) {
  return DeviceMatrix<T>(MatrixView<const T>(matrix));
}
/// Into a host matrix, which is resized only when its shape differs.
template <class T>
void to_host(const DeviceMatrix<T>& matrix, RowMatrix<T>& host) {
  host.resize(matrix.rows(), matrix.cols());
  matrix.copy_to(MatrixView<T>(host));
}
template <class T>
RowMatrix<T> on_host(const DeviceMatrix<T>& matrix) {
  RowMatrix<T> copy;
  to_host(matrix, copy);
  return copy;
}

#endif

}  // namespace swav::test
