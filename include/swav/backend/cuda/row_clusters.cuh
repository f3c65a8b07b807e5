// Which blocks a row has: one, or a cluster of them with a panel of the columns each. In: a matrix in the GPU's memory.
// Out: a block's rows and columns, and what the blocks of a cluster have of rows, added up.
#pragma once

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/cluster_mail.cuh"
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

/// A row has a cluster, of at most so many threads a block.
template <int Threads, int Bytes>
struct ClusterRows {
  static constexpr int most_threads = Threads, tile_bytes = Bytes;

  __device__ ClusterRows(Index cols, int width) {
    const int each = static_cast<int>(panel_cols(cols, width, cluster_blocks()));
    first_ = each * cluster_rank();
    const int rest = static_cast<int>(cols) - first_;
    cols_ = each < rest ? each : rest;
  }
  [[nodiscard]] static __device__ unsigned number() { return blockIdx.x / static_cast<unsigned>(cluster_blocks()); }
  [[nodiscard]] static __device__ unsigned count() { return gridDim.x / static_cast<unsigned>(cluster_blocks()); }
  [[nodiscard]] static __device__ bool is_first() { return cluster_rank() == 0; }
  [[nodiscard]] __device__ Index first_column() const { return first_; }
  template <class T>
  [[nodiscard]] __device__ MatrixView<T> panel(const MatrixView<T>& matrix) const {
    return {matrix.data + first_, matrix.rows, cols_, matrix.stride};
  }

  /// What blocks have of `Count` values, which lanes of each warp hold, a lane a value: the sum in the order of the
  /// blocks, the same bits in each. Every block sends what it has to all. Two mailboxes take turns. Between calls the
  /// threads of a block wait for each other; a block that has all mail of a call is then known to have read that of the
  /// call before it, and what is sent next finds its place free.
  template <class T, int Count>
  class Sums {
   public:
    __device__ Sums() {
      if (threadIdx.x == 0)
        for (Mailbox& box : mail().boxes) open_mailbox(&box);
      wait_for_cluster();
    }
    /// No block leaves before all are done, though none is sent to any more.
    __device__ ~Sums() { wait_for_cluster(); }

    __device__ T operator()(T of_block) {
      const int rank = cluster_rank(), blocks = cluster_blocks();
      const int lane = static_cast<int>(threadIdx.x) % warp_threads;
      const int warp = static_cast<int>(threadIdx.x) / warp_threads;
      Mailbox* const box = mail().boxes + (turn_ & 1);
      auto& sent = mail().sent[turn_ & 1];
      if (threadIdx.x == 0) expect_mail(box, blocks * Count * static_cast<int>(sizeof(T)));
      if (lane < Count)
        for (int to = warp; to < blocks; to += static_cast<int>(blockDim.x) / warp_threads)
          send_mail(of_block, &sent[rank][lane], box, to);
      wait_for_mail(box, turn_++ / 2);
      T sum = sent[0][lane % Count];
#pragma unroll
      for (int b = 1; b < most_cluster_blocks; ++b)
        if (b < blocks) sum += sent[b][lane % Count];
      return sum;
    }

   private:
    struct Mail {
      T sent[2][most_cluster_blocks][Count];
      Mailbox boxes[2];
    };
    static __device__ Mail& mail() {
      __shared__ Mail mail;
      return mail;
    }
    unsigned turn_ = 0;
  };

 private:
  int first_, cols_;  // of the block's panel
};

}  // namespace swav::detail
