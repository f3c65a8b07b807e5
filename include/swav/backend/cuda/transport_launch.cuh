// Which update_rows a stored Gibbs kernel gets, and in what grid. In: its shape and scalars. Out: a launch.
#pragma once

#include <algorithm>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/kernel_limits.cuh"
#include "swav/backend/cuda/row_clusters.cuh"
#include "swav/backend/cuda/row_tiles.cuh"
#include "swav/backend/cuda/transport_kernels.cuh"

namespace swav::detail {

/// update_rows in `parts` blocks, or clusters of `cluster_blocks`; no kernel where no registers hold the columns.
template <class Kernel, class L>
struct RowsLaunch {
  void (*update)(MatrixView<const Kernel>, RowsUpdate<L>) = nullptr;
  int threads = 0, cluster_blocks = 0;
  Index parts = 0;
};

/// update_rows of clusters, with entries of a pack, of a thread, threads of a block, rows of a tile.
template <class Kernel, class L>
struct ClusterKernel {
  void (*update)(MatrixView<const Kernel>, RowsUpdate<L>);
  int width, items, most_threads, rows;
};
template <class Layout, class Blocks, class Kernel, class L>
[[nodiscard]] ClusterKernel<Kernel, L> cluster_kernel() {
  return {update_rows<Layout, Kernel, L, Blocks>, Layout::Width, Layout::items, Blocks::most_threads,
          RowTiles<Layout, Kernel, Blocks::tile_bytes>::rows};
}

/// Of the kernels and sizes of clusters for which a thread's columns are not too many, those that have the most rows on
/// their way at once: the fewer threads share a multiprocessor's registers, the more of them are left for rows.
template <class Kernel, class L>
[[nodiscard]] RowsLaunch<Kernel, L> plan_clusters(const CudaDevice& device, Index rows, Index cols, bool packed) {
  using Wide = RowLayout<16 / static_cast<int>(sizeof(Kernel)), 4>;
  const ClusterKernel<Kernel, L> kernels[] = {cluster_kernel<Wide, ClusterRows<256, 256>, Kernel, L>(),
                                              cluster_kernel<Wide, ClusterRows<384, 128>, Kernel, L>(),
                                              cluster_kernel<Wide, ClusterRows<512, 64>, Kernel, L>(),
                                              cluster_kernel<RowLayout<1, 16>, ClusterRows<512, 64>, Kernel, L>()};
  RowsLaunch<Kernel, L> best;
  Index most_at_once = 0;
  for (int blocks = 2; blocks <= most_cluster_blocks; blocks *= 2) {
    for (const ClusterKernel<Kernel, L>& kernel : kernels) {
      const Index panel = panel_cols(cols, kernel.width, blocks);
      const Index threads = whole_warps((panel + kernel.items - 1) / kernel.items);
      if (packed != (kernel.width > 1) || threads > kernel.most_threads) continue;
      const Index clusters =
          device.kept<KernelLimits>().clusters(device, kernel.update, blocks, static_cast<int>(threads));
      if (clusters * kernel.rows <= most_at_once) continue;
      most_at_once = clusters * kernel.rows;
      best = {kernel.update, static_cast<int>(threads), blocks, std::min(rows, clusters)};
    }
  }
  return best;
}

/// By a block a row where it has registers for the columns, else by clusters.
template <class Kernel, class L>
[[nodiscard]] RowsLaunch<Kernel, L> plan_update(const CudaDevice& device, MatrixView<const Kernel> kernel) {
  const bool packed = reads_packs(kernel.data, kernel.cols, kernel.stride);
  const RowPlan plan = plan_rows<Kernel>(kernel.cols, packed);
  if (plan.packs == 0) return plan_clusters<Kernel, L>(device, kernel.rows, kernel.cols, packed);
  RowsLaunch<Kernel, L> launch{.threads = plan.threads};
  with_layout<Kernel>(plan, [&]<class Layout>(Layout) {
    if constexpr (Layout::Packs > 0) launch.update = update_rows<Layout, Kernel, L, BlockRows>;
  });
  const int each = std::clamp(device.kept<KernelLimits>().blocks(launch.update, plan.threads), 1,
                              2 * most_row_threads / plan.threads);
  launch.parts = std::min<Index>(kernel.rows, Index{each} * device.multiprocessors());
  return launch;
}

}  // namespace swav::detail
