// The prototype bank, free of any backend. In: a count a head, a dimension, a seed. Out: unit vectors to score against.
// Users include swav/prototypes/bank.hpp, which adds the CPU backend.
#pragma once

#include <cmath>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/philox.hpp"
#include "swav/core/row_passes.hpp"
#include "swav/core/scalar_traits.hpp"

namespace swav {

/// K prototypes of dimension D, the rows of a linear layer without bias (Caron et al. 2020, section 3.1); with several
/// heads, sets of prototypes that are each other's alternatives, all of them one below the other.
template <class Scalar, class Device = EigenDevice>
class PrototypeBank {
 public:
  using Matrix = typename Device::template Matrix<Scalar>;

  /// Entries uniform in (-1/sqrt D, 1/sqrt D) from Philox keyed by `seed`, then rows normalised. The same seed gives
  /// the same bank on every machine and thread count. Throws InvalidInput unless prototypes >= 1 and dimension >= 1.
  PrototypeBank(Index prototypes, Index dimension, std::uint64_t seed, Device device = {})
      : PrototypeBank(std::vector<Index>{prototypes}, dimension, seed, device) {}

  /// The same with heads of so many prototypes each, at least one head.
  PrototypeBank(std::vector<Index> head_prototypes, Index dimension, std::uint64_t seed, Device device = {})
      : device_(device),
        head_prototypes_(std::move(head_prototypes)),
        weights_(total(head_prototypes_), checked(dimension, "dimension")) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(dimension));
    std::vector<Scalar> entries;  // made by the host, so that they are the same on every device
    const Index rows = MatrixView<const Scalar>(weights_).rows;
    entries.reserve(static_cast<std::size_t>(rows * dimension));
    for (Index k = 0; k < rows; ++k) {
      PhiloxStream random(seed, static_cast<std::uint64_t>(k));
      for (Index d = 0; d < dimension; ++d)
        entries.push_back(static_cast<Scalar>(static_cast<Accumulator<Scalar>>(random.uniform(-bound, bound))));
    }
    RowPasses<Device>::copy_in(device_, MatrixView<const Scalar>(entries.data(), rows, dimension),
                               MatrixView<Scalar>(weights_));
    normalize();
  }

  /// A bank of one head with the given rows (K x D), copied; not normalised. Throws InvalidInput when empty.
  explicit PrototypeBank(const Matrix& weights, Device device = {})
      : PrototypeBank(weights, {MatrixView<const Scalar>(weights).rows}, device) {}

  /// The same with heads of so many rows each, all rows in all.
  PrototypeBank(const Matrix& weights, std::vector<Index> head_prototypes, Device device = {})
      : device_(device), head_prototypes_(std::move(head_prototypes)), weights_(weights) {
    checked(prototypes(), "prototypes");
    checked(dimension(), "dimension");
    detail::require(total(head_prototypes_) == prototypes(), "PrototypeBank: heads of ", total(head_prototypes_),
                    " prototypes found, those of the weights, ", prototypes(), ", wanted");
  }

  /// Of all heads.
  [[nodiscard]] Index prototypes() const { return weights().rows; }
  [[nodiscard]] Index dimension() const { return weights().cols; }
  [[nodiscard]] MatrixView<Scalar> weights() { return weights_; }
  [[nodiscard]] MatrixView<const Scalar> weights() const { return weights_; }

  [[nodiscard]] const std::vector<Index>& head_prototypes() const { return head_prototypes_; }
  /// The row at which head `head` begins in weights() and in the loss's gradient with respect to them.
  [[nodiscard]] Index head_first(std::size_t head) const {
    return std::accumulate(head_prototypes_.begin(), head_prototypes_.begin() + static_cast<Index>(head), Index{0});
  }

  /// Divides every row by its length, in place, as SwAV does before each forward pass, outside the gradient. A row of
  /// length 0 stays 0. Throws InvalidInput when a row is not finite; the bank is then unspecified. O(K D).
  void normalize() {
    norms_.reserve(prototypes());
    const auto normalize = [&] {
      return RowPasses<Device>::normalize(device_, MatrixView<const Scalar>(weights_), MatrixView<Scalar>(weights_),
                                          norms_.data());
    };
    if constexpr (std::is_void_v<decltype(normalize())>) {
      normalize();  // the device reports what is not finite when it is waited for
    } else {
      const auto largest = normalize();
      detail::require(largest == largest, "PrototypeBank: a NaN or infinite entry found, finite prototypes wanted");
    }
  }

 private:
  static Index checked(Index count, const char* name) {
    detail::require(count >= 1, "PrototypeBank: ", name, " ", count, " found, 1 or more wanted");
    return count;
  }
  static Index total(const std::vector<Index>& heads) {
    detail::require(!heads.empty(), "PrototypeBank: no head found, at least one wanted");
    for (const Index count : heads) checked(count, "prototypes");
    return std::accumulate(heads.begin(), heads.end(), Index{0});
  }

  Device device_;
  std::vector<Index> head_prototypes_;
  Matrix weights_;
  typename Device::template Buffer<Accumulator<Scalar>> norms_;
};

}  // namespace swav
