// The prototype bank on the device that a test is built for, with host matrices on both sides. In: SWAV_TEST_THRUST
// or SWAV_TEST_CUDA. Out: swav::test::PrototypeBank.
#pragma once

#include <utility>
#include <vector>

#include "swav/prototypes/bank.hpp"
#include "test_device.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/row_passes.hpp"
#endif

namespace swav::test {

#if !defined(SWAV_TEST_THRUST) && !defined(SWAV_TEST_CUDA)

template <class Scalar, class Device = TestDevice>
using PrototypeBank = swav::PrototypeBank<Scalar, Device>;

#elif defined(SWAV_TEST_THRUST)

template <class Scalar, class Device = TestDevice>
struct PrototypeBank : swav::PrototypeBank<Scalar, Device> {
  PrototypeBank(Index prototypes, Index dimension, std::uint64_t seed, Device device = {})
      : swav::PrototypeBank<Scalar, Device>(prototypes, dimension, seed, device) {}
  PrototypeBank(std::vector<Index> heads, Index dimension, std::uint64_t seed, Device device = {})
      : swav::PrototypeBank<Scalar, Device>(std::move(heads), dimension, seed, device) {}
  explicit PrototypeBank(const RowMatrix<Scalar>& weights, Device device = {})
      : swav::PrototypeBank<Scalar, Device>(on_device(weights), device) {}
  PrototypeBank(const RowMatrix<Scalar>& weights, std::vector<Index> heads, Device device = {})
      : swav::PrototypeBank<Scalar, Device>(on_device(weights), std::move(heads), device) {}
};

#else

template <class Scalar>
struct CudaBank : swav::PrototypeBank<DeviceScalar<Scalar>, CudaDevice> {
  explicit CudaBank(const RowMatrix<Scalar>& weights, CudaDevice device = {})
      : swav::PrototypeBank<DeviceScalar<Scalar>, CudaDevice>(on_device(weights), device) {}
  CudaBank(const RowMatrix<Scalar>& weights, std::vector<Index> heads, CudaDevice device = {})
      : swav::PrototypeBank<DeviceScalar<Scalar>, CudaDevice>(on_device(weights), std::move(heads), device) {}
};

struct CpuBank : swav::PrototypeBank<long double> {
  explicit CpuBank(const RowMatrix<long double>& weights, const CudaDevice& = {})
      : swav::PrototypeBank<long double>(weights) {}
  CpuBank(const RowMatrix<long double>& weights, std::vector<Index> heads, const CudaDevice& = {})
      : swav::PrototypeBank<long double>(weights, std::move(heads)) {}
};
template <class Scalar, class Device = TestDevice>
using PrototypeBank = std::conditional_t<std::is_same_v<Scalar, long double>, CpuBank, CudaBank<Scalar> >;

#endif

}  // namespace swav::test
