// Entries of a cost for Thrust, one way for all kinds of cost. In: a matrix, or points and a metric, in the policy's
// memory. Out: a function of row and column.
#pragma once

#include <type_traits>

#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/point_cost.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// rows, cols; is_stored; may_forbid: whether an entry +inf is meant and not an overflow; (i, j) -> entry, in the type
/// of potentials. Copied into device code. in_blocks(epsilon) are the same entries, to what matters in an exponent by
/// epsilon, or in_blocks() to whatever epsilon, for within body(first, count) of for_row_blocks(body), which calls it
/// for rows first to first + count - 1 until all have had their turn: for costs of which some rows at a time are found
/// together.
template <class Policy, class Cost>
class CostEntries;

/// Entries that are there at any time.
template <class Entries>
struct EntriesAtOnce {
  template <class... Epsilon>
  [[nodiscard]] const Entries& in_blocks(Epsilon...) const {
    return static_cast<const Entries&>(*this);
  }
  template <class Body>
  void for_row_blocks(Body body) const {
    body(Index{0}, in_blocks().rows);
  }
};

/// to_rc = L(from_rc), rows without gaps.
template <class Policy, class Scalar, class L>
void copy_points(const Policy& policy, MatrixView<const Scalar> from, L* to) {
  const Index cols = from.cols;
  for_each_entry(policy, from.rows, cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
    to[r * cols + c] = static_cast<L>(static_cast<Accumulator<Scalar>>(from.data[r * from.stride + c]));
  });
}

template <class Policy, class Scalar>
class CostEntries<Policy, MatrixView<const Scalar>>
    : public EntriesAtOnce<CostEntries<Policy, MatrixView<const Scalar>>> {
 public:
  using L = PotentialScalar<Scalar>;
  static constexpr bool is_stored = true, may_forbid = true;
  Index rows, cols;

  template <class Device, class Buffer>
  CostEntries(const Device&, MatrixView<const Scalar> cost, Buffer&) : rows(cost.rows), cols(cost.cols), cost_(cost) {}

  SWAV_HOST_DEVICE L operator()(Index i, Index j) const {
    return static_cast<L>(static_cast<Accumulator<Scalar>>(cost_.data[i * cost_.stride + j]));
  }

 private:
  MatrixView<const Scalar> cost_;
};

template <class Policy, class Scalar, class Metric>
class CostEntries<Policy, PointCost<Scalar, Metric>>
    : public EntriesAtOnce<CostEntries<Policy, PointCost<Scalar, Metric>>> {
 public:
  using L = PotentialScalar<Scalar>;
  static constexpr bool is_stored = false;
  static constexpr bool may_forbid = !std::is_same_v<Metric, SquaredEuclidean> && !std::is_same_v<Metric, Euclidean> &&
                                     !std::is_same_v<Metric, Cosine>;
  Index rows, cols;

  template <class Device, class Buffer>
  CostEntries(const Device& device, const PointCost<Scalar, Metric>& cost, Buffer& buffer)
      : rows(cost.rows), cols(cost.cols), dimension_(cost.x.cols), metric_(cost.metric) {
    L* const points = buffer.reserve((rows + cols) * dimension_);
    const ThrustDevice<Policy>& on = device;
    copy_points(on.policy(), cost.x, points);
    copy_points(on.policy(), cost.y, points + rows * dimension_);
    points_ = points;
  }

  SWAV_HOST_DEVICE L operator()(Index i, Index j) const {
    return metric_(VectorView<const L>(points_ + i * dimension_, dimension_),
                   VectorView<const L>(points_ + (rows + j) * dimension_, dimension_));
  }

  /// out += weight dC_ij/dx_i
  SWAV_HOST_DEVICE void add_gradient(Index i, Index j, L weight, L* out) const {
    metric_.add_gradient(VectorView<const L>(points_ + i * dimension_, dimension_),
                         VectorView<const L>(points_ + (rows + j) * dimension_, dimension_), weight, out);
  }

 private:
  Index dimension_;
  Metric metric_;
  const L* points_ = nullptr;
};

}  // namespace swav::detail
