// The passes of Sinkhorn::solve by Thrust over vectors of masses and potentials. In: n or m numbers. Out: the same.
#pragma once

#include <thrust/functional.h>

#include <cmath>
#include <limits>

#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

template <class L>
struct MergeMasses {
  SWAV_HOST_DEVICE MassSummary<L> operator()(const MassSummary<L>& x, const MassSummary<L>& y) const {
    const bool first = x.bad >= 0 && (y.bad < 0 || x.bad < y.bad);
    return {x.total + y.total, first ? x.bad : y.bad, first ? x.bad_mass : y.bad_mass};
  }
};

/// The part of TransportPasses that reads one vector at a time.
template <class Device>
struct ThrustSidePasses {
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  template <class Scalar, class L>
  static MassSummary<L> load_masses(const Device& device, VectorView<const Scalar> masses, Index size, L missing,
                                    Buffer<L>& buffer) {
    L* const to = buffer.data();
    for_each_index(device.policy(), size, [=] SWAV_HOST_DEVICE(Index i) {
      to[i] = masses.size == 0 ? missing : static_cast<L>(static_cast<Accumulator<Scalar>>(masses.data[i]));
    });
    const auto summary = [=] SWAV_HOST_DEVICE(Index i) {
      const bool sound = to[i] >= 0 && to[i] <= std::numeric_limits<L>::max();
      return MassSummary<L>{to[i], sound ? Index{-1} : i, to[i]};
    };
    return reduce_indices(device, size, summary, MassSummary<L>(), MergeMasses<L>());
  }

  template <class L>
  static void copy_in(const Device& device, const L* from, Index size, Buffer<L>& to) {
    upload(device.policy(), from, size, to.data());
  }
  template <class L>
  static void copy_out(const Device& device, const Buffer<L>& from, Index size, L* to) {
    download(device.policy(), from.data(), size, to);
  }

  template <class L>
  static void fill(const Device& device, Buffer<L>& buffer, Index size, L value) {
    L* const to = buffer.data();
    for_each_index(device.policy(), size, [=] SWAV_HOST_DEVICE(Index i) { to[i] = value; });
  }
  template <class L>
  static void negate(const Device& device, Buffer<L>& buffer, Index size) {
    L* const to = buffer.data();
    for_each_index(device.policy(), size, [=] SWAV_HOST_DEVICE(Index i) { to[i] = -to[i]; });
  }
  template <class L>
  static void scale(const Device& device, Buffer<L>& buffer, Index size, L factor) {
    L* const to = buffer.data();
    for_each_index(device.policy(), size, [=] SWAV_HOST_DEVICE(Index i) { to[i] *= factor; });
  }
  /// Infinite values stay.
  template <class L>
  static void shift(const Device& device, Buffer<L>& buffer, Index size, L amount) {
    L* const to = buffer.data();
    for_each_index(device.policy(), size, [=] SWAV_HOST_DEVICE(Index i) { to[i] += amount; });
  }
  /// -inf where there is no mass.
  template <class L>
  static void mask(const Device& device, Buffer<L>& potentials, const Buffer<L>& masses, Index size) {
    L* const to = potentials.data();
    const L* const m = masses.data();
    for_each_index(device.policy(), size, [=] SWAV_HOST_DEVICE(Index i) {
      if (!(m[i] > 0)) to[i] = -std::numeric_limits<L>::infinity();
    });
  }
  /// 0 for -inf: where there was no mass and now may be.
  template <class L>
  static void revive(const Device& device, Buffer<L>& potentials, Index size) {
    L* const to = potentials.data();
    for_each_index(device.policy(), size, [=] SWAV_HOST_DEVICE(Index i) {
      if (to[i] == -std::numeric_limits<L>::infinity()) to[i] = 0;
    });
  }

  template <class L>
  static L smallest_mass(const Device& device, const Buffer<L>& masses, Index size) {
    const L* const m = masses.data();
    const L none = std::numeric_limits<L>::infinity();
    const auto mass = [=] SWAV_HOST_DEVICE(Index i) { return m[i] > 0 ? m[i] : none; };
    return reduce_indices(device, size, mass, none, Smaller<L>());
  }

  template <class L>
  static LogSum<L> kept_mass(const Device& device, const Buffer<L>& masses, const Buffer<L>& potentials, Index size,
                             L epsilon, double rho) {
    const L *const m = masses.data(), *const p = potentials.data();
    const L weight = static_cast<L>(1 / rho);
    const auto kept = [=] SWAV_HOST_DEVICE(Index i) {
      if (!(m[i] > 0)) return LogSum<L>{-std::numeric_limits<L>::infinity(), L(0)};
      return LogSum<L>{weight == L(0) ? L(0) : (epsilon * std::log(m[i]) - p[i]) * weight, m[i]};
    };
    const LogSum<L> none{-std::numeric_limits<L>::infinity(), L(0)};
    return reduce_indices(device, size, kept, none, AddExponentials<L>());
  }

  template <class L>
  static L dual_side(const Device& device, const Buffer<L>& masses, const Buffer<L>& potentials, Index size, L epsilon,
                     double rho) {
    const L *const m = masses.data(), *const p = potentials.data();
    const L r = static_cast<L>(rho);
    const auto side = [=] SWAV_HOST_DEVICE(Index i) {
      if (!(m[i] > 0)) return L(0);
      const L potential = p[i] - epsilon * std::log(m[i]);
      if (std::isinf(r)) return m[i] * potential;
      // No allowed partner: all of the mass is destroyed.
      return std::isinf(potential) ? r * m[i] : -r * m[i] * std::expm1(-potential / r);
    };
    return reduce_indices(device, size, side, L(0), thrust::plus<L>());
  }
};

}  // namespace swav::detail
