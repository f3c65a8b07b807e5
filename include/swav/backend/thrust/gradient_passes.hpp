// The passes of a transport's gradients by Thrust. In: a cost or a plan in the policy's memory, potentials and other
// vectors of the host. Out: see sinkhorn/gradients.hpp; vectors of the host.
#pragma once

#include <thrust/functional.h>

#include <cmath>
#include <limits>
#include <type_traits>

#include "swav/backend/thrust/cost_entries.hpp"
#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/backend/thrust/transport_plan.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/exponents.hpp"
#include "swav/sinkhorn/gradients.hpp"

namespace swav {

/// Each call works in memory of its own: a result may be read by several threads at once.
template <class Policy>
struct GradientPasses<ThrustDevice<Policy>> {
  using Device = ThrustDevice<Policy>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;
  template <class T>
  using Matrix = typename Device::template Matrix<T>;
  template <class Cost>
  using Entries = detail::CostEntries<Policy, Cost>;
  /// The matrix of any device whose memory is the policy's; L is deduced from what stands beside it.
  template <class L>
  using Plan = std::type_identity_t<MatrixView<L>>;

  template <class Cost, class L>
  static void row_soft_minima(const Device& device, const Cost& cost, const L* g, double epsilon, L* out) {
    Buffer<L> points, potentials, found;
    Buffer<detail::LogSum<L>> sums;
    const Entries<Cost> entries(device, cost, points);
    const L* const of_columns = copied(device, g, cost.cols, potentials);
    const auto exponential = [=] SWAV_HOST_DEVICE(Index i, Index j) {
      return detail::LogSum<L>{of_columns[j] - entries(i, j), L(1)};
    };
    detail::LogSum<L>* const rows = sums.reserve(cost.rows);
    const L inverse = detail::inverse_of(static_cast<L>(epsilon));
    detail::reduce_rows(Device(device), cost.rows, cost.cols, exponential, detail::AddExponentials<L>{inverse}, rows);
    L* const minima = found.reserve(cost.rows);
    const L scale = static_cast<L>(epsilon);
    detail::for_each_index(device.policy(), cost.rows, [=] SWAV_HOST_DEVICE(Index i) {
      const L infinity = std::numeric_limits<L>::infinity();
      minima[i] = rows[i].largest == -infinity ? infinity : -rows[i].largest - scale * std::log(rows[i].sum);
    });
    detail::download(device.policy(), minima, cost.rows, out);
  }

  template <class Cost, class L>
  static void column_minima(const Device& device, const Cost& cost, const L* f, L* out) {
    Buffer<L> points, potentials;
    const Entries<Cost> entries(device, cost, points);
    const L* const of_rows = copied(device, f, cost.rows, potentials);
    const auto rest = [=] SWAV_HOST_DEVICE(Index i, Index j) { return entries(i, j) - of_rows[i]; };
    over_columns(device, cost.rows, cost.cols, rest, detail::Smaller<L>(), std::numeric_limits<L>::infinity(), out);
  }

  template <class Cost, class L>
  static void column_sums(const Device& device, const Cost& cost, const L* f, const L* minima, double epsilon, L* out) {
    Buffer<L> points, potentials, least;
    const Entries<Cost> entries(device, cost, points);
    const L *const of_rows = copied(device, f, cost.rows, potentials), *const of_columns =
                                                                           copied(device, minima, cost.cols, least);
    const L inverse = detail::inverse_of(static_cast<L>(epsilon));
    const auto exponential = [=] SWAV_HOST_DEVICE(Index i, Index j) {
      if (of_rows[i] == -std::numeric_limits<L>::infinity()) return L(0);
      const L exponent = (of_rows[i] - entries(i, j) + of_columns[j]) * inverse;
      return exponent >= detail::lowest_exponent<L>() ? std::exp(exponent) : L(0);
    };
    over_columns(device, cost.rows, cost.cols, exponential, thrust::plus<L>(), L(0), out);
  }

  template <class Cost, class L>
  static void through_points(const Device& device, const Cost& cost, const L* f, const L* g, double epsilon,
                             MatrixView<L> out) {
    Buffer<L> points, potentials_f, potentials_g;
    const Entries<Cost> entries(device, cost, points);
    const detail::PlanEntry<Entries<Cost>> plan{entries, copied(device, f, cost.rows, potentials_f),
                                                copied(device, g, cost.cols, potentials_g),
                                                detail::inverse_of(static_cast<L>(epsilon))};
    add_gradients(device, entries, plan, out);
  }

  template <class Cost, class Scalar, class L>
  static void through_points(const Device& device, const Cost& cost, MatrixView<const Scalar> weights,
                             MatrixView<L> out) {
    Buffer<L> points;
    const Entries<Cost> entries(device, cost, points);
    const auto weight = [=] SWAV_HOST_DEVICE(Index i, Index j) { return number<L>(weights(i, j)); };
    add_gradients(device, entries, weight, out);
  }

  template <class L, class Cost>
  static Matrix<L> plan(const Device& device, const Cost& cost, const L* f, const L* g, double epsilon) {
    Matrix<L> plan(cost.rows, cost.cols);
    TransportPasses<Device>::plan(device, cost, f, g, epsilon, MatrixView<L>(plan));
    return plan;
  }

  template <class Scalar, class L>
  static void weighted_sums(const Device& device, Plan<const L> p, MatrixView<const Scalar> weights, L* rows,
                            L* columns) {
    const auto product = [=] SWAV_HOST_DEVICE(Index i, Index j) { return p(i, j) * number<L>(weights(i, j)); };
    over_rows(device, p.rows, p.cols, product, rows);
    over_columns(device, p.rows, p.cols, product, thrust::plus<L>(), L(0), columns);
  }

  template <class L>
  static void multiply(const Device& device, Plan<const L> p, const L* v, L* out) {
    Buffer<L> storage;
    const L* const vector = copied(device, v, p.cols, storage);
    const auto product = [=] SWAV_HOST_DEVICE(Index i, Index j) { return p(i, j) * vector[j]; };
    over_rows(device, p.rows, p.cols, product, out);
  }

  template <class L>
  static void multiply_transposed(const Device& device, Plan<const L> p, const L* v, L* out) {
    Buffer<L> storage;
    const L* const vector = copied(device, v, p.rows, storage);
    const auto product = [=] SWAV_HOST_DEVICE(Index i, Index j) { return p(i, j) * vector[i]; };
    over_columns(device, p.rows, p.cols, product, thrust::plus<L>(), L(0), out);
  }

  template <class Scalar, class L>
  static void plan_gradient(const Device& device, MatrixView<const Scalar> weights, const L* alpha, const L* beta,
                            std::type_identity_t<L> epsilon, Plan<L> p) {
    Buffer<L> storage_alpha, storage_beta;
    const L *const of_rows = copied(device, alpha, p.rows, storage_alpha), *const of_columns = copied(
                                                                               device, beta, p.cols, storage_beta);
    detail::for_each_entry(device.policy(), p.rows, p.cols, [=] SWAV_HOST_DEVICE(Index i, Index j) {
      p(i, j) *= (of_rows[i] + of_columns[j] - number<L>(weights(i, j))) / epsilon;
    });
  }

  template <class AnyMatrix>
  static void subtract_mean(const Device& device, const AnyMatrix& x, const AnyMatrix& y, AnyMatrix& from) {
    using Scalar = std::remove_cvref_t<decltype(*from.data())>;
    using A = Accumulator<Scalar>;
    const Scalar *const first = x.data(), *const second = y.data();
    Scalar* const to = from.data();
    detail::for_each_index(device.policy(), from.size(), [=] SWAV_HOST_DEVICE(Index i) {
      to[i] = static_cast<Scalar>(static_cast<A>(to[i]) - (static_cast<A>(first[i]) + static_cast<A>(second[i])) / 2);
    });
  }

  // Below are parts of the passes; nvcc allows no lambdas of device code in private functions.

  template <class L, class Scalar>
  SWAV_HOST_DEVICE static L number(Scalar x) {
    return static_cast<L>(static_cast<Accumulator<Scalar>>(x));
  }

  /// out_i = sum_j weight(i, j) dc(x_i, y_j)/dx_i
  template <class PointEntries, class Weight, class L>
  static void add_gradients(const Device& device, const PointEntries& entries, const Weight& weight,
                            MatrixView<L> out) {
    detail::for_each_index(device.policy(), entries.rows, [=] SWAV_HOST_DEVICE(Index i) {
      L* const gradient = out.row(i);
      for (Index k = 0; k < out.cols; ++k) gradient[k] = 0;
      for (Index j = 0; j < entries.cols; ++j)
        if (const L value = weight(i, j); value != 0) entries.add_gradient(i, j, value, gradient);
    });
  }

 private:
  template <class L>
  static const L* copied(const Device& device, const L* host, Index size, Buffer<L>& buffer) {
    detail::upload(device.policy(), host, size, buffer.reserve(size));
    return buffer.data();
  }

  template <class Entry, class L>
  static void over_rows(const Device& device, Index rows, Index cols, const Entry& entry, L* out) {
    Buffer<L> found;
    detail::reduce_rows(Device(device), rows, cols, entry, thrust::plus<L>(), found.reserve(rows));
    detail::download(device.policy(), found.data(), rows, out);
  }

  template <class Entry, class Operation, class L>
  static void over_columns(const Device& device, Index rows, Index cols, const Entry& entry, Operation operation,
                           L identity, L* out) {
    Buffer<L> found, partial;
    detail::reduce_columns(device.policy(), rows, cols, entry, operation, identity,
                           partial.reserve(cols * detail::reduction_chunks), found.reserve(cols));
    detail::download(device.policy(), found.data(), cols, out);
  }
};

}  // namespace swav
