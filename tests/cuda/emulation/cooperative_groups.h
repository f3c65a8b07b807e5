// CUDA's groups of threads on the CPU: the grid of a cooperative launch, and clusters of blocks. In: a kernel that runs
// as fibers (fibers.h). Out: their barriers, and the shared variables of a cluster's other blocks.
#pragma once

#include "grids.h"

namespace cooperative_groups {

namespace details {

[[noreturn]] inline void end(const char* what) {
  std::fprintf(stderr, "emulated kernel: %s\n", what);
  std::abort();
}

inline void wait_at(swav::emulation::GridBarrier& barrier) {
  __syncthreads();
  if (threadIdx.x == 0) barrier.wait();
  __syncthreads();
}

}  // namespace details

struct grid_group {
  void sync() const {
    if (swav::emulation::grid_barrier == nullptr)
      details::end("a barrier of the grid in a launch that is not cooperative");
    details::wait_at(*swav::emulation::grid_barrier);
  }
};
inline grid_group this_grid() { return {}; }

/// Blocks of a launch without clusters are clusters of one.
struct cluster_group {
  static void sync() {
    if (swav::emulation::cluster == nullptr)
      __syncthreads();
    else
      details::wait_at(swav::emulation::cluster->barrier);
  }
  static unsigned num_blocks() {
    const auto* const cluster = swav::emulation::cluster;
    return cluster == nullptr ? 1 : static_cast<unsigned>(cluster->variables.size());
  }
  static unsigned block_rank() { return blockIdx.x % num_blocks(); }
  /// Of a shared variable; dynamic shared memory is not among the thread's own.
  template <class T>
  static T* map_shared_rank(T* address, int rank) {
    if (rank < 0 || rank >= static_cast<int>(num_blocks())) details::end("a rank that the cluster does not have");
    if (num_blocks() == 1) return address;
    const auto& variables = swav::emulation::cluster->variables;
    const std::ptrdiff_t distance = reinterpret_cast<char*>(address) - variables[block_rank()];
    if (distance < -most_distance || distance > most_distance) details::end("an address that is no shared variable's");
    return reinterpret_cast<T*>(variables[static_cast<std::size_t>(rank)] + distance);
  }

 private:
  static constexpr std::ptrdiff_t most_distance = std::ptrdiff_t{1} << 20;
};
inline cluster_group this_cluster() { return {}; }

}  // namespace cooperative_groups
