// The prototype bank on the device that a test is built for, with host matrices on both sides. In: SWAV_TEST_THRUST.
// Out: swav::test::PrototypeBank.
#pragma once

#include <utility>
#include <vector>

#include "swav/prototypes/bank.hpp"
#include "test_device.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/row_passes.hpp"
#endif

namespace swav::test {

#ifndef SWAV_TEST_THRUST

template <class Scalar, class Device = TestDevice>
using PrototypeBank = swav::PrototypeBank<Scalar, Device>;

#else

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

#endif

}  // namespace swav::test
