// Transports on the GPU: Thrust's passes on the device's stream, but for an iteration over a stored kernel, which is
// kernels of its own. In: row-major memory of the GPU. Out: the same.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/point_entries.cuh"
#include "swav/backend/cuda/point_kernels.cuh"
#include "swav/backend/cuda/thrust_device.cuh"
#include "swav/backend/cuda/transport_kernels.cuh"
#include "swav/backend/cuda/transport_launch.cuh"
#include "swav/backend/thrust/transport_passes.hpp"
#include "swav/core/host_device.hpp"

namespace swav {

namespace detail {

/// What updates of factors on a device's stream did, and what they work in.
template <class L>
class CudaUpdates {
 public:
  CudaUpdates() {
    check_cuda(cudaMallocHost(&found_, (1 + most_column_blocks) * sizeof(FactorUpdate<L>)), "cudaMallocHost");
  }
  CudaUpdates(const CudaUpdates&) = delete;
  ~CudaUpdates() { cudaFreeHost(found_); }

  /// Where kernels write it, to be waited for; of columns as many as `blocks`.
  FactorUpdate<L>* of_rows() {
    expected_ = true;
    return found_;
  }
  FactorUpdate<L>* of_columns(Index blocks) {
    column_blocks_ = blocks;
    expected_ = true;
    return found_ + 1;
  }
  /// What they have written, once the stream is done with it.
  FactorUpdate<L> read_rows(const CudaDevice& device) {
    wait(device);
    return found_[0];
  }
  FactorUpdate<L> read_columns(const CudaDevice& device) {
    wait(device);
    FactorUpdate<L> merged;
    for (Index b = 1; b <= column_blocks_; ++b) merged = MergeUpdates<L>()(merged, found_[b]);
    return merged;
  }

  CudaBuffer<L> partial_sums, row_parts;
  CudaBuffer<FactorUpdate<L>> updates;

 private:
  void wait(const CudaDevice& device) {
    if (expected_) device.wait();
    expected_ = false;
  }

  FactorUpdate<L>* found_ = nullptr;  // pinned
  Index column_blocks_ = 0;
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

/// An update of the rows of points, and parts of the columns' sums.
template <class L>
class PointsUpdate {
 public:
  PointsUpdate(const CudaDevice& device, Index rows, Index cols, RowsUpdate<L> update, CudaUpdates<L>& memory)
      : device_(device),
        column_blocks_((cols + point_column_threads - 1) / point_column_threads),
        slices_(std::clamp<Index>(4 * device.multiprocessors() / column_blocks_, 1, std::max<Index>(rows, 1))),
        threads_(static_cast<int>(std::min<Index>(whole_warps(cols), most_row_threads))),
        rows_(update),
        memory_(memory) {
    rows_.partial_sums = memory.partial_sums.reserve(slices_ * cols);
    rows_.updates = memory.updates.reserve((rows + 3) / 4);
  }

  template <class Kernel, class Exponents>
  void enqueue(const Exponents& exponents) {
    const Index count = exponents.count, groups = (count + Exponents::block_rows - 1) / Exponents::block_rows;
    // Few rows of many columns: several blocks have parts of the columns.
    const Index splits = std::clamp<Index>(2 * device_.multiprocessors() / std::max<Index>(groups, 1), 1,
                                           (exponents.cols + 4 * most_row_threads - 1) / (4 * most_row_threads));
    L* const parts = splits > 1 ? memory_.row_parts.reserve(splits * count) : nullptr;
    RowsUpdate<L> rows = rows_;
    rows.updates += updated_;
    launch(device_, groups * splits, threads_, update_point_rows<Kernel, Exponents, L>, exponents, rows,
           static_cast<int>(splits), parts);
    const Index merged = (count + warp_threads - 1) / warp_threads;
    if (splits > 1)
      launch(device_, merged, warp_threads, merge_point_rows<L>, rows, exponents.first, count, static_cast<int>(splits),
             parts);
    launch(device_, column_blocks_ * slices_, point_column_threads, add_point_columns<Kernel, Exponents, L>, exponents,
           rows_, static_cast<int>(slices_));
    updated_ += splits > 1 ? merged : groups;
  }

  [[nodiscard]] const RowsUpdate<L>& rows() const { return rows_; }
  /// Parts of the columns' sums, and of what the update did.
  [[nodiscard]] Index slices() const { return slices_; }
  [[nodiscard]] Index updated() const { return updated_; }

 private:
  CudaDevice device_;
  Index column_blocks_, slices_, updated_ = 0;
  int threads_;
  RowsUpdate<L> rows_;
  CudaUpdates<L>& memory_;
};

/// The Gibbs kernel of points whose costs are products: in memory, or made anew in each iteration.
template <class Kernel, class Cost>
struct ProductKernel {
  KernelEntry<Kernel, Cost> entry;
  const Kernel* entries;  // [rows x cols], or null
};

template <class L>
struct NoEntries {
  SWAV_HOST_DEVICE L operator()(Index, Index) const { return 0; }
};

}  // namespace detail

/// A transport's loop asks the GPU for its error, and waits for it.
template <>
struct TransportPasses<CudaDevice> : TransportPasses<detail::CudaThrustDevice> {
  using Thrust = TransportPasses<detail::CudaThrustDevice>;

  static CudaDevice device_for(const CudaDevice& device, Index) { return device; }

  using Thrust::make_kernel;
  /// Of points: stored where it takes no more memory than the GPU's cache has twice.
  template <class Kernel, class PointScalar, detail::ProductMetric Metric, class Scalar, class L>
  static auto make_kernel(const CudaDevice& device,
                          const detail::CostEntries<detail::CudaThrustPolicy, PointCost<PointScalar, Metric>>& whole,
                          L epsilon, Workspace<Scalar>& w) {
    using Cost = detail::CostEntries<detail::CudaThrustPolicy, PointCost<PointScalar, Metric>>;
    const Cost cost = whole.in_blocks(epsilon);
    const detail::KernelEntry<Kernel, Cost> entry{cost, detail::inverse_of(epsilon), w.base_f.data(), w.base_g.data()};
    const Index most = 2 * detail::entries_at_once<Kernel>(device);
    const detail::CudaThrustDevice& thrust_device = device;
    if (cost.rows > most / cost.cols) {
      if constexpr (Cost::is_distance)
        if (cost.dimension() <= Cost::most_coordinates)
          cost.write_coordinates(thrust_device.policy(), entry.base_f, entry.base_g, entry.inverse);
      return detail::ProductKernel<Kernel, Cost>{entry, nullptr};
    }
    Kernel* const entries = Thrust::template kernel_memory<Kernel>(w, cost.rows * cost.cols);
    cost.for_row_blocks([&](Index first, Index count) {
      Thrust::write_kernel(thrust_device, detail::RowsFrom<detail::KernelEntry<Kernel, Cost>>{first, entry}, count,
                           cost.cols, entries + first * cost.cols);
    });
    return detail::ProductKernel<Kernel, Cost>{entry, entries};
  }

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
    const detail::RowsLaunch<Kernel, L> plan = detail::plan_update<Kernel, L>(device, entries);
    if (plan.update == nullptr) {
      *updates.of_rows() = Thrust::iterate(device, kernel, lambda, omega, w);
      return {device, updates};
    }
    const detail::RowsUpdate<L> rows{w.v.data(),
                                     w.row_target.data(),
                                     w.u.data(),
                                     w.row_values.data(),
                                     lambda,
                                     omega,
                                     updates.partial_sums.reserve(plan.parts * kernel.cols),
                                     updates.updates.reserve(plan.parts)};
    detail::launch(device, {.cluster_blocks = plan.cluster_blocks}, plan.parts * std::max(1, plan.cluster_blocks),
                   plan.threads, plan.update, entries, rows);
    merge_rows(device, rows, plan.parts, plan.parts, kernel.cols, w, updates);
    return {device, updates};
  }
  /// Of points: exponents of a few coordinates, or of a product of a block of rows, in two kernels.
  template <class Kernel, class Cost, class Scalar, class L>
  static detail::PendingUpdate<L> iterate(const CudaDevice& device, const detail::ProductKernel<Kernel, Cost>& kernel,
                                          L lambda, L omega, Workspace<Scalar>& w) {
    const Cost& cost = kernel.entry.cost;
    const Index rows = cost.rows, cols = cost.cols;
    if (kernel.entries != nullptr)
      return iterate(device, detail::ThrustKernel<detail::KernelInMemory<Kernel>>{rows, cols, {kernel.entries, cols}},
                     lambda, omega, w);
    auto& updates = device.kept<detail::CudaUpdates<L>>();
    detail::PointsUpdate<L> update(
        device, rows, cols, {w.v.data(), w.row_target.data(), w.u.data(), w.row_values.data(), lambda, omega}, updates);
    if constexpr (Cost::is_distance) {
      if (cost.dimension() <= Cost::most_coordinates)
        update.template enqueue<Kernel>(detail::CoordinateExponents<L, Cost::most_coordinates, Cost::is_root>{
            cost.row_coordinates(), cost.column_coordinates(), 0, rows, cols});
    }
    if (cost.dimension() > Cost::most_coordinates)
      cost.for_row_blocks([&](Index first, Index count) {
        update.template enqueue<Kernel>(detail::CostExponents<L>{cost.block(), first, count, cols, kernel.entry.base_f,
                                                                 kernel.entry.base_g, kernel.entry.inverse});
      });
    merge_rows(device, update.rows(), update.slices(), update.updated(), cols, w, updates);
    return {device, updates};
  }

  template <class Scalar, class L>
  static FactorUpdate<L> update_columns(const CudaDevice& device, Index cols, L lambda, L omega, Workspace<Scalar>& w) {
    auto& updates = device.kept<detail::CudaUpdates<L>>();
    const Index of_block = std::max(std::min<Index>(cols, 128), cols / detail::most_column_blocks);
    const int threads = static_cast<int>(std::min<Index>(detail::whole_warps(of_block), detail::most_row_threads));
    const Index blocks = std::min<Index>((cols + threads - 1) / threads, detail::most_column_blocks);
    detail::launch(device, blocks, threads, detail::update_columns<L>, w.col_target.data(), w.column_sums.data(),
                   w.v.data(), cols, lambda, omega, w.next.data(), updates.of_columns(blocks));
    return updates.read_columns(device);
  }

  /// By cuBLAS, some rows of the entries at a time.
  template <class Entry, class Scalar, class L>
  static void multiply_entries(const CudaDevice& device, const Entry& entry, MatrixView<const Scalar> x,
                               bool transposed, MatrixView<L> out) {
    const detail::CudaThrustDevice& thrust_device = device;
    const Index cols = entry.cost.cols;
    if (out.size() == 0) return;
    if (entry.cost.rows == 0) return Thrust::write_entries(thrust_device, detail::NoEntries<L>(), out);
    const Index most = std::max<Index>(detail::entries_at_once<L>(device) / cols, 1);
    CudaBuffer<L> values, entries;
    const MatrixView<L> factor(values.reserve(x.size()), x.rows, x.cols);
    Thrust::write_entries(thrust_device, x, factor);
    entries.reserve(std::min(most, entry.cost.rows) * cols);
    entry.cost.for_row_blocks([&](Index begin, Index size) {
      for (Index first = begin; first < begin + size; first += most) {
        const MatrixView<L> rows(entries.data(), std::min(most, begin + size - first), cols);
        Thrust::write_entries(thrust_device, detail::RowsFrom<Entry>{first, entry}, rows);
        if (transposed)
          detail::multiply<L>(device, L(1), rows, true, factor.middle_rows(first, rows.rows), false,
                              first > 0 ? L(1) : L(0), out);
        else
          detail::multiply<L>(device, L(1), rows, false, factor, false, L(0), out.middle_rows(first, rows.rows));
      }
    });
  }

  /// Enqueues the sums of what the rows' kernels have left in parts; their factors are u from then on.
  template <class Scalar, class L>
  static void merge_rows(const CudaDevice& device, const detail::RowsUpdate<L>& rows, Index parts, Index updated,
                         Index cols, Workspace<Scalar>& w, detail::CudaUpdates<L>& updates) {
    detail::launch(device, (cols + detail::warp_threads - 1) / detail::warp_threads,
                   detail::warp_threads * static_cast<int>(std::clamp<Index>(parts, 1, detail::column_slices)),
                   detail::merge_rows<L>, rows.partial_sums, parts, cols, w.column_sums.data(), rows.updates, updated,
                   updates.of_rows());
    std::swap(w.u, w.row_values);
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
