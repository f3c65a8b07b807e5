// Gradients of transports on the GPU: Thrust's passes on the device's stream, and by cuBLAS those through points whose
// metric is made of products. In: costs and weights in the GPU's memory, vectors of the host. Out: the same.
#pragma once

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/point_entries.cuh"
#include "swav/backend/cuda/thrust_device.cuh"
#include "swav/backend/cuda/transport_passes.cuh"
#include "swav/backend/thrust/gradient_passes.hpp"
#include "swav/core/host_device.hpp"

namespace swav {
namespace detail {

/// What the factors of gradients are multiplied with; `weight` is that of a pair.
template <class Entries, class Weight>
struct GradientWeight {
  Entries cost;
  Weight weight;
  SWAV_HOST_DEVICE typename Entries::L operator()(Index i, Index j) const {
    return cost.gradient_weight(i, j, weight(i, j));
  }
};

}  // namespace detail

template <>
struct GradientPasses<CudaDevice> : GradientPasses<detail::CudaThrustDevice> {
  using Thrust = GradientPasses<detail::CudaThrustDevice>;
  template <class Scalar, class Metric>
  using PointEntries = detail::CostEntries<detail::CudaThrustPolicy, PointCost<Scalar, Metric>>;

  using Thrust::through_points;
  template <class Scalar, detail::ProductMetric Metric, class L>
  static void through_points(const CudaDevice& device, const PointCost<Scalar, Metric>& cost, const L* f, const L* g,
                             double epsilon, MatrixView<L> out) {
    detail::PotentialsOnDevice<detail::CudaThrustDevice, L> on_device(device, cost.rows, f, cost.cols, g);
    const auto whole = PointEntries<Scalar, Metric>(device, cost, on_device.points);
    if (!whole.cancels_little(static_cast<L>(epsilon))) return Thrust::through_points(device, cost, f, g, epsilon, out);
    const auto entries = whole.in_blocks(static_cast<L>(epsilon));
    const detail::PlanEntry<PointEntries<Scalar, Metric>> plan{entries, on_device.f.data(), on_device.g.data(),
                                                               detail::inverse_of(static_cast<L>(epsilon))};
    add_weighted(device, entries, plan, out);
  }
  template <class Scalar, detail::ProductMetric Metric, class Weight, class L>
  static void through_points(const CudaDevice& device, const PointCost<Scalar, Metric>& cost,
                             MatrixView<const Weight> weights, MatrixView<L> out) {
    CudaBuffer<L> points;
    const auto entries = PointEntries<Scalar, Metric>(device, cost, points).in_blocks();
    const detail::CostEntries<detail::CudaThrustPolicy, MatrixView<const Weight>> weight(device, weights, points);
    add_weighted(device, entries, weight, out);
  }

  template <class L, class Cost>
  static CudaMatrix<L> plan(const CudaDevice& device, const Cost& cost, const L* f, const L* g, double epsilon) {
    CudaMatrix<L> plan(cost.rows, cost.cols);
    TransportPasses<CudaDevice>::plan(device, cost, f, g, epsilon, MatrixView<L>(plan));
    return plan;
  }

 private:
  template <class Entries, class Weight, class L>
  static void add_weighted(const CudaDevice& device, const Entries& entries, const Weight& weight, MatrixView<L> out) {
    const MatrixView<const L> factors = entries.gradient_factors();
    CudaBuffer<L> memory;
    const MatrixView<L> sums(memory.reserve(entries.rows * factors.cols), entries.rows, factors.cols);
    TransportPasses<CudaDevice>::multiply_entries(device, detail::GradientWeight<Entries, Weight>{entries, weight},
                                                  factors, false, sums);
    const detail::CudaThrustDevice& thrust_device = device;
    entries.write_gradients(thrust_device.policy(), sums, out);
  }
};

}  // namespace swav
