// CUDA's groups of threads on the CPU: the grid of a cooperative launch. In: a kernel that runs as fibers (grids.h).
// Out: its barrier.
#pragma once

#include "grids.h"

namespace cooperative_groups {

struct grid_group {
  void sync() const {
    __syncthreads();
    if (threadIdx.x == 0) {
      if (swav::emulation::grid_barrier == nullptr) {
        std::fprintf(stderr, "emulated kernel: a barrier of the grid in a launch that is not cooperative\n");
        std::abort();
      }
      swav::emulation::grid_barrier->wait();
    }
    __syncthreads();
  }
};
inline grid_group this_grid() { return {}; }

}  // namespace cooperative_groups
