// Transports on the GPU: Thrust's passes on the device's stream, but for an iteration over a stored kernel, which is
// kernels of its own. In: row-major memory of the GPU. Out: the same.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/thrust_device.cuh"
#include "swav/backend/cuda/transport_kernels.cuh"
#include "swav/backend/thrust/transport_passes.hpp"
#include "swav/core/host_device.hpp"

namespace swav {

namespace detail {

/// What updates of factors on a device's stream did, and what they work in.
template <class L>
class CudaUpdates {
 public:
  CudaUpdates() { check_cuda(cudaMallocHost(&found_, 2 * sizeof(FactorUpdate<L>)), "cudaMallocHost"); }
  CudaUpdates(const CudaUpdates&) = delete;
  ~CudaUpdates() { cudaFreeHost(found_); }

  /// Where kernels write it, to be waited for.
  FactorUpdate<L>* of_rows() { return expect(0); }
  FactorUpdate<L>* of_columns() { return expect(1); }
  /// What they have written, once the stream is done with it.
  const FactorUpdate<L>& read_rows(const CudaDevice& device) { return read(device, 0); }
  const FactorUpdate<L>& read_columns(const CudaDevice& device) { return read(device, 1); }

  CudaBuffer<L> partial_sums;
  CudaBuffer<FactorUpdate<L>> updates;

 private:
  FactorUpdate<L>* expect(int at) {
    expected_ = true;
    return found_ + at;
  }
  const FactorUpdate<L>& read(const CudaDevice& device, int at) {
    if (expected_) check_cuda(cudaStreamSynchronize(device.stream()), "cudaStreamSynchronize");
    expected_ = false;
    return found_[at];
  }

  FactorUpdate<L>* found_ = nullptr;  // pinned
  bool expected_ = false;
};

/// A FactorUpdate of rows that is waited for where it is looked at.
template <class L>
class PendingUpdate {
 public:
  PendingUpdate(const CudaDevice& device, CudaUpdates<L>& updates) : device_(device), updates_(updates) {}
  operator FactorUpdate<L>() const { return updates_.read_rows(device_); }

 private:
  CudaDevice device_;
  CudaUpdates<L>& updates_;
};

}  // namespace detail

/// A transport's loop asks the GPU for its error, and waits for it.
template <>
struct TransportPasses<CudaDevice> : TransportPasses<detail::CudaThrustDevice> {
  using Thrust = TransportPasses<detail::CudaThrustDevice>;

  static CudaDevice device_for(const CudaDevice& device, Index) { return device; }

  template <class Entry, class Scalar, class L>
  static FactorUpdate<L> iterate(const CudaDevice& device, const detail::ThrustKernel<Entry>& kernel, L lambda, L omega,
                                 Workspace<Scalar>& w) {
    return Thrust::iterate(device, kernel, lambda, omega, w);
  }
  template <class Kernel, class Scalar, class L>
  static detail::PendingUpdate<L> iterate(const CudaDevice& device,
                                          const detail::ThrustKernel<detail::KernelInMemory<Kernel>>& kernel, L lambda,
                                          L omega, Workspace<Scalar>& w) {
    auto& updates = device.kept<detail::CudaUpdates<L>>();
    const MatrixView<const Kernel> entries(kernel.entry.entries, kernel.rows, kernel.cols);
    const auto plan = detail::plan_rows<Kernel>(
        kernel.cols, detail::reads_packs(entries.data, kernel.cols, kernel.cols), detail::most_tile_threads);
    if (plan.packs == 0) {  // longer rows than a block has registers for
      *updates.of_rows() = Thrust::iterate(device, kernel, lambda, omega, w);
      return {device, updates};
    }
    const Index blocks = std::min<Index>(kernel.rows, 2 * device.multiprocessors());
    const detail::RowsUpdate<L> rows{w.v.data(),
                                     w.row_target.data(),
                                     w.u.data(),
                                     lambda,
                                     omega,
                                     updates.partial_sums.reserve(blocks * kernel.cols),
                                     updates.updates.reserve(blocks)};
    detail::with_layout<Kernel>(plan, [&]<class Layout>(Layout) {
      if constexpr (Layout::Packs > 0)
        detail::launch(device, blocks, plan.threads, detail::update_rows<Layout, Kernel, L>, entries, rows);
    });
    detail::launch(device, (kernel.cols + detail::warp_threads - 1) / detail::warp_threads,
                   detail::warp_threads * static_cast<int>(std::clamp<Index>(blocks, 1, detail::most_sum_slices)),
                   detail::merge_rows<L>, rows.partial_sums, rows.updates, blocks, kernel.cols, w.column_sums.data(),
                   updates.of_rows());
    return {device, updates};
  }

  template <class Scalar, class L>
  static FactorUpdate<L> update_columns(const CudaDevice& device, Index cols, L lambda, L omega, Workspace<Scalar>& w) {
    auto& updates = device.kept<detail::CudaUpdates<L>>();
    const int threads = std::min(detail::most_row_threads, static_cast<int>(detail::whole_warps(cols)));
    detail::launch(device, 1, threads, detail::update_columns<L>, w.col_target.data(), w.column_sums.data(), w.v.data(),
                   cols, lambda, omega, w.next.data(), updates.of_columns());
    return updates.read_columns(device);
  }

  template <class Scalar, class L>
  static CudaMatrix<Scalar> converted(const CudaDevice& device, CudaMatrix<L>&& from) {
    if constexpr (std::is_same_v<Scalar, L>) {
      return std::move(from);
    } else {
      const detail::CudaThrustDevice& thrust_device = device;
      CudaMatrix<Scalar> to(from.rows(), from.cols());
      const L* const in = from.data();
      Scalar* const out = to.data();
      detail::for_each_index(thrust_device.policy(), from.size(), [=] SWAV_HOST_DEVICE(Index i) {
        out[i] = static_cast<Scalar>(static_cast<Accumulator<Scalar>>(in[i]));
      });
      return to;
    }
  }
};

}  // namespace swav
