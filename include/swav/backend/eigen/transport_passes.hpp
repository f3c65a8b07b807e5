// The passes of Sinkhorn::solve on the CPU. In: row-major host memory. Out: host memory. Rows are read from memory once
// a pass and used from the nearest caches after that; sums are made in an order that depends on the thread count alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "swav/backend/eigen/cost_rows.hpp"
#include "swav/backend/eigen/device.hpp"
#include "swav/backend/eigen/kernel_rows.hpp"
#include "swav/backend/eigen/transport_log.hpp"
#include "swav/backend/eigen/transport_parts.hpp"
#include "swav/backend/eigen/transport_plan.hpp"
#include "swav/backend/eigen/transport_rows.hpp"
#include "swav/backend/eigen/transport_sides.hpp"
#include "swav/backend/eigen/transport_workspace.hpp"
#include "swav/sinkhorn/relaxation.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav {

template <class Product>
struct TransportPasses<BasicEigenDevice<Product>> : detail::TransportSidePasses<BasicEigenDevice<Product>>,
                                                    detail::TransportPartPasses<BasicEigenDevice<Product>>,
                                                    detail::TransportLogPasses<BasicEigenDevice<Product>>,
                                                    detail::TransportPlanPasses<BasicEigenDevice<Product>> {
  using Device = BasicEigenDevice<Product>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  template <class Cost>
  using CostRows = detail::CostRows<Cost>;
  template <class Scalar>
  using Workspace = detail::TransportWorkspace<Device, Scalar>;

  /// A thread is worth starting, twice an iteration, for some 10 microseconds' work.
  static Device device_for(const Device& device, Index entries) {
    return Device(static_cast<int>(std::clamp<Index>(entries / (1 << 15), 1, device.threads())));
  }

  template <class Cost, class Scalar, class L = PotentialScalar<Scalar>>
  static CostSummary<L> reduce(const Device& device, const CostRows<Cost>& cost, Workspace<Scalar>& w) {
    const Index cols = cost.cols;
    const ConstArray<L> g(w.g.data(), cols);
    device.for_shares(cost.rows, [&](int share, Index first, Index count) {
      Array<L> minima(w.partial_sums.data() + share * cols, cols);
      minima.setConstant(infinity<L>());
      CostSummary<L> summary;
      for (Index i = first; i < first + count; ++i) {
        const ConstArray<L> row = cost.load(i, 0, cols, w.row_scratch.data() + share * 3 * cols);
        describe_row(row, i, CostRows<Cost>::may_forbid, summary);
        w.row_mass.data()[i] = w.a.data()[i];
        L base = -infinity<L>();
        if (w.a.data()[i] > 0) {
          base = (row - g).minCoeff();
          if (base == infinity<L>()) {
            base = -infinity<L>();
            w.row_mass.data()[i] = 0;
            summary.stranded_row = 1;
          } else {
            minima = minima.min(row - base);
          }
        }
        w.base_f.data()[i] = base;
      }
      w.shares.data()[share].cost = summary;
    });
    CostSummary<L> total;
    for (int share = 0; share < device.shares(cost.rows); ++share) {
      const CostSummary<L>& part = w.shares.data()[share].cost;
      if (total.bad_row < 0) total.bad_row = part.bad_row;
      total.forbidden |= part.forbidden;
      total.stranded_row |= part.stranded_row;
      total.largest = std::max(total.largest, part.largest);
      total.maximum = std::max(total.maximum, part.maximum);
    }
    detail::merge_minima(device, cost.rows, cols, w);
    return total;
  }

  template <class Scalar>
  static bool reduce_columns(const Device&, Index cols, Workspace<Scalar>& w) {
    using L = PotentialScalar<Scalar>;
    bool any = false;
    for (Index j = 0; j < cols; ++j) {
      L& base = w.base_g.data()[j];
      const bool stranded = base == infinity<L>();
      w.col_mass.data()[j] = stranded ? L(0) : w.b.data()[j];
      any |= stranded && w.b.data()[j] > 0;
      if (!(w.col_mass.data()[j] > 0)) base = -infinity<L>();
    }
    return any;
  }

  template <class Kernel, class Cost, class Scalar, class L>
  static auto make_kernel(const Device& device, const CostRows<Cost>& cost, L epsilon, Workspace<Scalar>& w) {
    const detail::KernelFormula<Kernel, Cost> formula(cost, epsilon, w.base_f.data(), w.base_g.data());
    Buffer<Kernel>& buffer = kernel_buffer<Kernel>(w);
    if constexpr (CostRows<Cost>::is_stored) {
      const MatrixView<Kernel> kernel(buffer.reserve(cost.rows * cost.cols), cost.rows, cost.cols);
      device.for_shares(cost.rows, [&](int share, Index first, Index count) {
        for (Index i = first; i < first + count; ++i)
          formula.row(i, w.row_scratch.data() + share * 3 * cost.cols, kernel.row(i));
      });
      return detail::StoredKernel<Kernel>{kernel};
    } else {
      buffer.reserve(device.threads() * detail::kernel_block_rows * cost.cols);
      return detail::StreamedKernel<Kernel, Cost>{formula, buffer.data(), w.row_scratch.data()};
    }
  }

  template <class Scalar, class L>
  static void start_factors(const Device&, Index rows, Index cols, L epsilon, double rho_a, double rho_b, L log_limit,
                            bool bounded, bool cold, Workspace<Scalar>& w) {
    // A factor relative to the base potential: mass exp(-base (1 - lambda)/epsilon), (1 - lambda)/epsilon = 1/(rho +
    // epsilon), is what lambda < 1 leaves of it.
    const auto target = [&](const Buffer<L>& masses, const Buffer<L>& base, Index i, double rho) {
      const L mass = masses.data()[i];
      if (!(mass > 0) || std::isinf(rho)) return mass;
      return mass * std::exp(-base.data()[i] / (static_cast<L>(rho) + epsilon));
    };
    // With room for factors that are to be absorbed, e^29 of float's e^88.
    constexpr L least = L(1e-15), most = L(1e15);
    w.factors_fit_single = bounded;
    w.backward = false;
    const auto note = [&](L value) {
      if (value > 0) w.factors_fit_single = w.factors_fit_single && value >= least && value <= most;
    };
    for (Index i = 0; i < rows; ++i) note(w.row_target.data()[i] = target(w.row_mass, w.base_f, i, rho_a));
    for (Index j = 0; j < cols; ++j) {
      const L mass = w.col_mass.data()[j];
      note(w.col_target.data()[j] = target(w.col_mass, w.base_g, j, rho_b));
      L exponent = 0;
      if (!cold && mass > 0)
        exponent = std::clamp((w.g.data()[j] - w.base_g.data()[j]) / epsilon - std::log(mass), -log_limit, log_limit);
      w.v.data()[j] = mass * std::exp(exponent);
    }
  }

  template <class Scalar, class L>
  static void base_potentials(const Device&, Index rows, Index cols, L epsilon, Workspace<Scalar>& w) {
    to_potentials(w.base_f, w.row_mass, rows, epsilon, w.f);
    to_potentials(w.base_g, w.col_mass, cols, epsilon, w.next);
  }

  template <class Scalar, class L>
  static void translate_bases(const Device&, Index rows, Index cols, L move, L epsilon, double rho_a, double rho_b,
                              Workspace<Scalar>& w) {
    const L scale_a = std::exp(-move / (static_cast<L>(rho_a) + epsilon)),
            scale_b = std::exp(move / (static_cast<L>(rho_b) + epsilon));
    // Targets that stay about where they were are within the room that start_factors leaves.
    for (const L factor : {scale_a, scale_b})
      w.factors_fit_single = w.factors_fit_single && factor > L(0.1) && factor < 10;
    for (Index i = 0; i < rows; ++i) {
      w.base_f.data()[i] += move;
      w.row_target.data()[i] *= scale_a;
    }
    for (Index j = 0; j < cols; ++j) {
      w.base_g.data()[j] -= move;
      w.col_target.data()[j] *= scale_b;
    }
  }

  template <class Rows, class Scalar, class L>
  static FactorUpdate<L> iterate(const Device& device, const Rows& kernel, L lambda, L omega, Workspace<Scalar>& w) {
    using Kernel = typename Rows::value_type;
    const Index cols = kernel.cols();
    if constexpr (std::is_same_v<Kernel, float> && !std::is_same_v<L, float>) {
      if (w.factors_fit_single) {
        for (Index j = 0; j < cols; ++j) w.single_v.data()[j] = static_cast<float>(w.v.data()[j]);
        return iterate_with(device, kernel, lambda, omega, w, [&](int share) {
          return detail::SingleProducts<L>(w.single_v.data(), cols, w.single_sums.data() + share * cols,
                                           w.partial_sums.data() + share * cols);
        });
      }
    }
    return iterate_with(device, kernel, lambda, omega, w, [&](int share) {
      return detail::RowProducts<Kernel, L>(w.v.data(), cols, w.partial_sums.data() + share * cols);
    });
  }

  template <class Scalar, class L>
  static FactorUpdate<L> update_columns(const Device&, Index cols, L lambda, L omega, Workspace<Scalar>& w) {
    FactorUpdate<L> update;
    L shrink = 1, growth = 1;
    for (Index j = 0; j < cols; ++j) {
      const L target = w.col_target.data()[j], sum = w.column_sums.data()[j], old = w.v.data()[j];
      if (!(target > 0)) {
        w.next.data()[j] = 0;
        continue;
      }
      const L wanted = target * inverse_power(sum, lambda);
      w.next.data()[j] = detail::relaxed(wanted, old, omega);
      detail::note_factor(w.next.data()[j] / target, update);
      update.residual += sum * std::abs(old - wanted);
      shrink = std::min(shrink, wanted / old);
      growth = std::max(growth, wanted / old);
    }
    detail::note_move(std::log(std::max(growth, L(1) / shrink)), update);
    return update;
  }

  template <class Scalar>
  static void accept_columns(Workspace<Scalar>& w) {
    std::swap(w.v, w.next);
  }
  template <class Scalar, class L>
  static void row_potentials(const Device&, Index rows, L epsilon, Workspace<Scalar>& w) {
    to_potentials(w.base_f, w.u, rows, epsilon, w.f);
  }
  template <class Scalar, class L>
  static void column_potentials(const Device&, Index cols, L epsilon, const Buffer<L>& factors, Workspace<Scalar>& w) {
    to_potentials(w.base_g, factors, cols, epsilon, w.g);
  }

 private:
  template <class T>
  using Array = detail::ArrayMap<T>;
  template <class T>
  using ConstArray = detail::ConstArrayMap<T>;

  template <class L>
  static constexpr L infinity() {
    return std::numeric_limits<L>::infinity();
  }
  template <class Kernel, class Scalar>
  static Buffer<Kernel>& kernel_buffer(Workspace<Scalar>& w) {
    if constexpr (std::is_same_v<Kernel, PotentialScalar<Scalar>>)
      return w.kernel;
    else
      return w.single_kernel;
  }

  template <class L>
  static void describe_row(const ConstArray<L>& row, Index i, bool may_forbid, CostSummary<L>& summary) {
    // Times 0, any finite value vanishes and nothing else does.
    if ((row * L(0)).sum() == L(0)) {
      const L lowest = row.minCoeff(), highest = row.maxCoeff();
      summary.largest = std::max({summary.largest, -lowest, highest});
      summary.maximum = std::max(summary.maximum, highest);
      return;
    }
    for (Index j = 0; j < row.size(); ++j) {
      if (may_forbid && row[j] == infinity<L>()) {
        summary.forbidden = 1;
      } else if (std::isfinite(row[j])) {
        summary.largest = std::max(summary.largest, std::abs(row[j]));
        summary.maximum = std::max(summary.maximum, row[j]);
      } else if (summary.bad_row < 0) {
        summary.bad_row = i;
      }
    }
  }

  template <class L>
  static void to_potentials(const Buffer<L>& base, const Buffer<L>& factors, Index size, L epsilon,
                            Buffer<L>& potentials) {
    for (Index i = 0; i < size; ++i) {
      const L factor = factors.data()[i];
      potentials.data()[i] = factor > 0 ? base.data()[i] + epsilon * std::log(factor) : -infinity<L>();
    }
  }

  template <class L>
  static L inverse_power(L sum, L lambda) {
    return lambda == L(1) ? L(1) / sum : std::pow(sum, -lambda);
  }

  // In every other iteration the last rows come first: what the caches still have of the one before is then used before
  // it is displaced.
  template <class Rows, class Scalar, class L, class Products>
  static FactorUpdate<L> iterate_with(const Device& device, const Rows& kernel, L lambda, L omega, Workspace<Scalar>& w,
                                      const Products& products_of) {
    constexpr Index block_rows = detail::kernel_block_rows;
    const bool backward = std::exchange(w.backward, !w.backward);
    device.for_shares(kernel.rows(), [&](int share, Index first, Index count) {
      auto products = products_of(share);
      FactorUpdate<L> update;
      const Index blocks = (count + block_rows - 1) / block_rows;
      for (Index block = 0; block < blocks; ++block) {
        const Index begin = (backward ? blocks - 1 - block : block) * block_rows, i = first + begin;
        const auto rows = static_cast<int>(std::min(block_rows, count - begin));
        const auto* const entries = kernel.block(share, i, rows);
        L sums[block_rows];
        products.dot(entries, rows, sums);
        for (int r = 0; r < rows; ++r) {
          const L target = w.row_target.data()[i + r];
          L& u = w.u.data()[i + r];
          const L wanted = target > 0 ? target * inverse_power(sums[r], lambda) : L(0);
          u = target > 0 ? detail::relaxed(wanted, u, omega) : L(0);
          if (!(target > 0)) continue;
          detail::note_factor(u / target, update);
          update.residual += sums[r] * std::abs(u - wanted);
          update.mass += sums[r] * u;
        }
        products.add(entries, rows, w.u.data() + i);
      }
      products.finish();
      w.shares.data()[share].update = update;
    });
    return detail::collect_columns(device, kernel.rows(), kernel.cols(), w);
  }
};

}  // namespace swav
