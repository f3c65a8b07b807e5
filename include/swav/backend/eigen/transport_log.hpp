// The passes of Sinkhorn::solve on the CPU in the log domain. In: costs, potentials. Out: potentials.
#pragma once

#include <cmath>
#include <limits>
#include <utility>

#include "swav/backend/eigen/cost_rows.hpp"
#include "swav/backend/eigen/device.hpp"
#include "swav/backend/eigen/transport_rows.hpp"
#include "swav/backend/eigen/transport_workspace.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// The part of TransportPasses that is log-sum-exp instead of products with a kernel.
template <class Device>
struct TransportLogPasses {
  template <class Cost, class Scalar, class L>
  static FactorUpdate<L> log_iterate(const Device& device, const CostRows<Cost>& cost, L epsilon, L lambda, L omega,
                                     TransportWorkspace<Device, Scalar>& w) {
    const L inverse = inverse_of(epsilon);
    const Index cols = cost.cols;
    const ConstArrayMap<L> g(w.g.data(), cols);
    device.for_shares(cost.rows, [&](int share, Index first, Index count) {
      ArrayMap<L> scratch(w.row_scratch.data() + share * 3 * cols, cols);
      ArrayMap<L> sums(w.partial_sums.data() + share * cols, cols);
      sums.setZero();
      FactorUpdate<L> update;
      for (Index i = first; i < first + count; ++i) {
        const L mass = w.row_mass.data()[i];
        L& f = w.f.data()[i];
        if (!(mass > 0)) {
          f = -infinity<L>();
          continue;
        }
        scratch = cost.load(i, 0, cols, scratch.data()) - g;
        const L smallest = exponentiate_from_least(scratch, inverse);
        const L log_sum = std::log(scratch.sum());
        // log K v = log_sum - smallest/epsilon.
        const L wanted = epsilon * std::log(mass) - lambda * (epsilon * log_sum - smallest);
        const L move = (wanted - f) / epsilon;
        f = omega == L(1) ? wanted : f + omega * (wanted - f);
        const L relaxed = omega == L(1) ? L(0) : (omega - L(1)) * move;
        const L unbalanced = lambda == L(1) ? L(0) : (L(1) - lambda) * (log_sum - smallest / epsilon);
        const L weight = std::exp(std::log(mass) + unbalanced + relaxed - log_sum);
        if (omega != L(1)) note_move(move, update);
        update.residual += std::abs(std::exp(std::log(mass) + unbalanced) * std::expm1(relaxed));
        update.mass += std::exp(std::log(mass) + unbalanced + relaxed);
        sums += weight * scratch;
      }
      w.shares.data()[share].update = update;
    });
    return collect_columns(device, cost.rows, cols, w);
  }

  template <class Scalar>
  static bool starves(const Device&, Index cols, const TransportWorkspace<Device, Scalar>& w) {
    bool starved = false;
    for (Index j = 0; j < cols; ++j)
      starved |= w.col_mass.data()[j] > 0 && !(w.column_sums.data()[j] >= smallest_sum<PotentialScalar<Scalar>>());
    return starved;
  }

  template <class Cost, class Scalar>
  static void column_minima(const Device& device, const CostRows<Cost>& cost, TransportWorkspace<Device, Scalar>& w) {
    using L = PotentialScalar<Scalar>;
    const Index cols = cost.cols;
    device.for_shares(cost.rows, [&](int share, Index first, Index count) {
      ArrayMap<L> minima(w.partial_sums.data() + share * cols, cols);
      minima.setConstant(infinity<L>());
      for (Index i = first; i < first + count; ++i)
        if (w.row_mass.data()[i] > 0)
          minima = minima.min(cost.load(i, 0, cols, w.row_scratch.data() + share * 3 * cols) - w.f.data()[i]);
    });
    merge_minima(device, cost.rows, cols, w);
  }

  template <class Scalar, class L>
  static FactorUpdate<L> log_update_columns(const Device&, Index cols, L epsilon, L lambda, L omega,
                                            TransportWorkspace<Device, Scalar>& w) {
    FactorUpdate<L> update;
    for (Index j = 0; j < cols; ++j) {
      const L mass = w.col_mass.data()[j], sum = w.column_sums.data()[j], g = w.g.data()[j];
      L& next = w.next.data()[j];
      next = -infinity<L>();
      if (!(mass > 0)) continue;
      // epsilon log (K'u)_j, where the sum has underflowed by its largest term alone: the next update has the rest.
      const L log_sum = sum >= smallest_sum<L>() ? epsilon * std::log(sum) - g : -w.base_g.data()[j];
      const L wanted = epsilon * std::log(mass) - lambda * log_sum;
      next = omega == L(1) ? wanted : g + omega * (wanted - g);
      note_move((wanted - g) / epsilon, update);
      const L target = lambda == L(1) ? mass : std::exp((wanted + log_sum) / epsilon);
      update.residual += std::abs(sum - target);
    }
    return update;
  }

  template <class Scalar>
  static void log_accept_columns(TransportWorkspace<Device, Scalar>& w) {
    std::swap(w.g, w.next);
  }

 private:
  // Below it a sum of normal numbers may have lost some.
  template <class L>
  static constexpr L smallest_sum() {
    return std::numeric_limits<L>::min() / std::numeric_limits<L>::epsilon();
  }
  template <class L>
  static constexpr L infinity() {
    return std::numeric_limits<L>::infinity();
  }
};

}  // namespace swav::detail
