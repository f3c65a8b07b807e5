// Which blocks a row has: one, or a cluster of them with a panel of the columns each. In: a matrix in the GPU's memory.
// Out: a block's rows and columns, and what the blocks of a cluster have of rows, added up.
#pragma once

#include <cooperative_groups.h>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/core/host_device.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav::detail {

inline constexpr int most_cluster_blocks = 8;  // what every GPU with clusters has

/// The columns that each block of a cluster has: packs of `width` adjacent ones. The last block has the rest.
[[nodiscard]] SWAV_HOST_DEVICE constexpr Index panel_cols(Index cols, int width, int blocks) {
  const Index of_all = Index{width} * blocks;
  return (cols + of_all - 1) / of_all * width;
}

/// A row has one block. At most so many threads, which have so many bytes of rows at a time, and as many on their way.
struct BlockRows {
  static constexpr int most_threads = most_row_threads, tile_bytes = 64;

  __device__ BlockRows(Index, int) {}
  [[nodiscard]] static __device__ unsigned number() { return blockIdx.x; }
  [[nodiscard]] static __device__ unsigned count() { return gridDim.x; }
  [[nodiscard]] static __device__ bool is_first() { return true; }
  [[nodiscard]] static __device__ Index first_column() { return 0; }
  template <class T>
  [[nodiscard]] static __device__ const MatrixView<T>& panel(const MatrixView<T>& matrix) {
    return matrix;
  }

  template <class T, int Count>
  struct Sums {
    __device__ T operator()(T of_block) { return of_block; }
  };
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
using BlockCluster = cooperative_groups::cluster_group;
[[nodiscard]] __device__ __forceinline__ BlockCluster this_cluster() { return cooperative_groups::this_cluster(); }
#else
/// For GPUs without clusters, on which nothing that has them is launched.
struct BlockCluster {
  [[nodiscard]] static __device__ unsigned block_rank() { return 0; }
  [[nodiscard]] static __device__ unsigned num_blocks() { return 1; }
  static __device__ void sync() { __trap(); }
  template <class T>
  [[nodiscard]] static __device__ T* map_shared_rank(T* address, int) {
    return address;
  }
};
[[nodiscard]] __device__ __forceinline__ BlockCluster this_cluster() { return {}; }
#endif

/// A row has a cluster, of at most so many threads a block.
template <int Threads, int Bytes>
struct ClusterRows {
  static constexpr int most_threads = Threads, tile_bytes = Bytes;

  __device__ ClusterRows(Index cols, int width) {
    const auto cluster = this_cluster();
    const int each = static_cast<int>(panel_cols(cols, width, static_cast<int>(cluster.num_blocks())));
    first_ = each * static_cast<int>(cluster.block_rank());
    const int rest = static_cast<int>(cols) - first_;
    cols_ = each < rest ? each : rest;
  }
  [[nodiscard]] static __device__ unsigned number() { return blockIdx.x / this_cluster().num_blocks(); }
  [[nodiscard]] static __device__ unsigned count() { return gridDim.x / this_cluster().num_blocks(); }
  [[nodiscard]] static __device__ bool is_first() { return this_cluster().block_rank() == 0; }
  [[nodiscard]] __device__ Index first_column() const { return first_; }
  template <class T>
  [[nodiscard]] __device__ MatrixView<T> panel(const MatrixView<T>& matrix) const {
    return {matrix.data + first_, matrix.rows, cols_, matrix.stride};
  }

  /// What blocks have of `Count` values, which lanes of each warp hold, a lane a value: the sum in the order of the
  /// blocks, the same bits in each. Every block writes into the memory of all. Two halves take turns, so that one
  /// barrier a call is enough: what a block writes over has been read before the barrier that it passed last.
  template <class T, int Count>
  class Sums {
   public:
    /// Waits until all blocks are there.
    __device__ Sums() { this_cluster().sync(); }

    __device__ T operator()(T of_block) {
      const auto cluster = this_cluster();
      const int rank = static_cast<int>(cluster.block_rank()), blocks = static_cast<int>(cluster.num_blocks());
      const int lane = static_cast<int>(threadIdx.x) % warp_threads;
      const int warp = static_cast<int>(threadIdx.x) / warp_threads;
      auto& half = halves()[turn_ ^= 1];
      if (lane < Count)
        for (int to = warp; to < blocks; to += static_cast<int>(blockDim.x) / warp_threads)
          *cluster.map_shared_rank(&half[rank][lane], to) = of_block;
      cluster.sync();
      T sum = half[0][lane % Count];
#pragma unroll
      for (int b = 1; b < most_cluster_blocks; ++b)
        if (b < blocks) sum += half[b][lane % Count];
      return sum;
    }

   private:
    using Half = T[most_cluster_blocks][Count];
    static __device__ Half (&halves())[2] {
      __shared__ Half of_blocks[2];
      return of_blocks;
    }
    int turn_ = 0;
  };

 private:
  int first_, cols_;  // of the block's panel
};

}  // namespace swav::detail
