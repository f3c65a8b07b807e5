// The passes of Sinkhorn::solve on the CPU over vectors of masses and potentials. In: n or m numbers. Out: the same.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/exponents.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// The part of TransportPasses that reads one vector at a time.
template <class Device>
struct TransportSidePasses {
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  template <class Scalar, class L>
  static MassSummary<L> load_masses(const Device&, VectorView<const Scalar> masses, Index size, L missing,
                                    Buffer<L>& buffer) {
    MassSummary<L> summary;
    for (Index i = 0; i < size; ++i) {
      const L mass = masses.size == 0 ? missing : static_cast<L>(static_cast<Accumulator<Scalar>>(masses[i]));
      if (summary.bad < 0 && !(mass >= 0 && mass <= std::numeric_limits<L>::max())) {
        summary.bad = i;
        summary.bad_mass = mass;
      }
      buffer.data()[i] = mass;
      summary.total += mass;
    }
    return summary;
  }

  template <class L>
  static void scale(const Device&, Buffer<L>& buffer, Index size, L factor) {
    for (Index i = 0; i < size; ++i) buffer.data()[i] *= factor;
  }

  /// Infinite values stay.
  template <class L>
  static void shift(const Device&, Buffer<L>& buffer, Index size, L amount) {
    for (Index i = 0; i < size; ++i) buffer.data()[i] += amount;
  }

  template <class L>
  static void copy_in(const Device&, const L* from, Index size, Buffer<L>& to) {
    std::copy_n(from, size, to.data());
  }
  template <class L>
  static void copy_out(const Device&, const Buffer<L>& from, Index size, L* to) {
    std::copy_n(from.data(), size, to);
  }
  template <class L>
  static void fill(const Device&, Buffer<L>& buffer, Index size, L value) {
    std::fill_n(buffer.data(), size, value);
  }
  /// -inf where there is no mass.
  template <class L>
  static void mask(const Device&, Buffer<L>& potentials, const Buffer<L>& masses, Index size) {
    for (Index i = 0; i < size; ++i)
      if (!(masses.data()[i] > 0)) potentials.data()[i] = -infinity<L>();
  }

  template <class L>
  static void negate(const Device&, Buffer<L>& buffer, Index size) {
    for (Index i = 0; i < size; ++i) buffer.data()[i] = -buffer.data()[i];
  }
  /// 0 for -inf: where there was no mass and now may be.
  template <class L>
  static void revive(const Device&, Buffer<L>& potentials, Index size) {
    for (Index i = 0; i < size; ++i)
      if (potentials.data()[i] == -infinity<L>()) potentials.data()[i] = 0;
  }
  template <class L>
  static L smallest_mass(const Device&, const Buffer<L>& masses, Index size) {
    L smallest = infinity<L>();
    for (Index i = 0; i < size; ++i)
      if (masses.data()[i] > 0) smallest = std::min(smallest, masses.data()[i]);
    return smallest;
  }

  template <class L>
  static LogSum<L> kept_mass(const Device&, const Buffer<L>& masses, const Buffer<L>& potentials, Index size, L epsilon,
                             double rho) {
    const L weight = static_cast<L>(1 / rho);
    const auto exponent = [&](Index i) {
      return weight == L(0) ? L(0) : (epsilon * std::log(masses.data()[i]) - potentials.data()[i]) * weight;
    };
    LogSum<L> kept{-infinity<L>(), L(0)};
    for (Index i = 0; i < size; ++i)
      if (masses.data()[i] > 0) kept.largest = std::max(kept.largest, exponent(i));
    for (Index i = 0; i < size; ++i)
      if (masses.data()[i] > 0) kept.sum += masses.data()[i] * std::exp(exponent(i) - kept.largest);
    return kept;
  }

  template <class L>
  static L dual_side(const Device&, const Buffer<L>& masses, const Buffer<L>& potentials, Index size, L epsilon,
                     double rho) {
    L sum = 0;
    for (Index i = 0; i < size; ++i) {
      const L m = masses.data()[i];
      if (!(m > 0)) continue;
      const L potential = potentials.data()[i] - epsilon * std::log(m);
      if (std::isinf(rho))
        sum += m * potential;
      else if (std::isinf(potential))  // no allowed partner: all of the mass is destroyed
        sum += static_cast<L>(rho) * m;
      else
        sum -= static_cast<L>(rho) * m * std::expm1(-potential / static_cast<L>(rho));
    }
    return sum;
  }

 private:
  template <class L>
  static constexpr L infinity() {
    return std::numeric_limits<L>::infinity();
  }
};

}  // namespace swav::detail
