// The prototype bank, free of any backend. In: a count, a dimension, a seed. Out: K unit vectors to score against.
// Users include swav/prototypes/bank.hpp, which adds the CPU backend.
#pragma once

#include <cmath>
#include <cstdint>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/philox.hpp"
#include "swav/core/row_passes.hpp"
#include "swav/core/scalar_traits.hpp"

namespace swav {

/// K prototypes of dimension D, the rows of a linear layer without bias (Caron et al. 2020, section 3.1).
template <class Scalar, class Device = EigenDevice>
class PrototypeBank {
 public:
  using Matrix = typename Device::template Matrix<Scalar>;

  /// Entries uniform in (-1/sqrt D, 1/sqrt D) from Philox keyed by `seed`, then rows normalised. The same seed gives
  /// the same bank on every machine and thread count. Throws InvalidInput unless prototypes >= 1 and dimension >= 1.
  PrototypeBank(Index prototypes, Index dimension, std::uint64_t seed, Device device = {})
      : device_(device), weights_(checked(prototypes, "prototypes"), checked(dimension, "dimension")) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(dimension));
    MatrixView<Scalar> view(weights_);
    for (Index k = 0; k < prototypes; ++k) {
      PhiloxStream random(seed, static_cast<std::uint64_t>(k));
      for (Index d = 0; d < dimension; ++d)
        view(k, d) = static_cast<Scalar>(static_cast<Accumulator<Scalar>>(random.uniform(-bound, bound)));
    }
    normalize();
  }

  /// A bank with the given rows (K x D), copied; not normalised. Throws InvalidInput when empty.
  explicit PrototypeBank(const Matrix& weights, Device device = {}) : device_(device), weights_(weights) {
    checked(MatrixView<const Scalar>(weights_).rows, "prototypes");
    checked(MatrixView<const Scalar>(weights_).cols, "dimension");
  }

  [[nodiscard]] Index prototypes() const { return weights().rows; }
  [[nodiscard]] Index dimension() const { return weights().cols; }
  [[nodiscard]] MatrixView<Scalar> weights() { return weights_; }
  [[nodiscard]] MatrixView<const Scalar> weights() const { return weights_; }

  /// Divides every row by its length, in place, as SwAV does before each forward pass, outside the gradient. A row of
  /// length 0 stays 0. Throws InvalidInput when a row is not finite; the bank is then unspecified. O(K D).
  void normalize() {
    norms_.reserve(prototypes());
    const auto largest = RowPasses<Device>::normalize(device_, MatrixView<const Scalar>(weights_),
                                                      MatrixView<Scalar>(weights_), norms_.data());
    detail::require(largest == largest, "PrototypeBank: a NaN or infinite entry found, finite prototypes wanted");
  }

 private:
  static Index checked(Index count, const char* name) {
    detail::require(count >= 1, "PrototypeBank: ", name, " ", count, " found, 1 or more wanted");
    return count;
  }

  Device device_;
  Matrix weights_;
  typename Device::template Buffer<Accumulator<Scalar>> norms_;
};

}  // namespace swav
