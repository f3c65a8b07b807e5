// The rows that the loss computes with, free of any backend. In: a matrix as the user stores it. Out: the same rows in
// the accumulator's type, of length 1 if asked; their lengths.
#pragma once

#include <type_traits>

#include "swav/core/matrix_view.hpp"
#include "swav/core/row_passes.hpp"
#include "swav/core/scalar_traits.hpp"

namespace swav::detail {

/// Owns what prepare() returns a view of, unless that is the input itself.
template <class Scalar, class Device>
class PreparedRows {
  using A = Accumulator<Scalar>;
  using Rows = RowPasses<Device>;

 public:
  /// Throws InvalidInput when an entry is not finite.
  MatrixView<const A> prepare(const Device& device, MatrixView<const Scalar> rows, bool normalize, const char* name) {
    MatrixView<const A> result;
    if (normalize) {
      norms_.reserve(rows.rows);
      const MatrixView<A> unit(storage_.reserve(rows.size()), rows.rows, rows.cols);
      largest_ = Rows::normalize(device, rows, unit, norms_.data());
      if (largest_ == largest_) largest_ = A(1);
      result = unit;
    } else {
      largest_ = Rows::largest_norm(device, rows);
      if constexpr (std::is_same_v<Scalar, A>) {
        result = rows;
      } else {
        const MatrixView<A> converted(storage_.reserve(rows.size()), rows.rows, rows.cols);
        Rows::convert(device, rows, converted);
        result = converted;
      }
    }
    require(largest_ == largest_, "SwappedPredictionLoss: ", name,
            " with a NaN or infinite entry found, finite values wanted");
    return result;
  }

  /// The largest length of a row that prepare() returned.
  [[nodiscard]] double largest() const { return static_cast<double>(largest_); }
  /// The lengths of the rows before they were normalised.
  [[nodiscard]] const A* norms() const { return norms_.data(); }

 private:
  typename Device::template Buffer<A> storage_, norms_;
  A largest_{};
};

}  // namespace swav::detail
