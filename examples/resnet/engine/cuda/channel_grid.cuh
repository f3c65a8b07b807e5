// How threads walk an activation in NHWC: each keeps to a pack of adjacent channels, whose coefficients stay in its
// registers, and steps through the rows (pixels). In: rows x channels. Out: a grid; a kernel's own rows; sums over
// them.
#pragma once

#include <cuda_bf16.h>

#include <algorithm>

#include "engine/precision.hpp"
#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/device.cuh"

namespace swav::resnet::cuda {

inline constexpr int grid_threads = 256;

struct ChannelGrid {
  Index rows, channels;
  int columns;         // of threads, a pack of channels each; a power of 2
  int channel_blocks;  // of columns, next to each other
  int row_blocks;

  [[nodiscard]] Index blocks() const { return Index{channel_blocks} * row_blocks; }
};

/// The grid for packs of `width` channels: enough blocks for the GPU, rows enough for each thread.
[[nodiscard]] inline ChannelGrid channel_grid(const CudaDevice& device, Index rows, Index channels, int width) {
  constexpr int blocks_a_multiprocessor = 8, rows_a_thread = 4;
  const Index packs = channels / width;
  ChannelGrid grid{rows, channels, 1, 1, 1};
  while (grid.columns < 32 && grid.columns < packs) grid.columns *= 2;
  grid.channel_blocks = static_cast<int>((packs + grid.columns - 1) / grid.columns);
  const Index lines = Index{rows_a_thread} * grid_threads / grid.columns;
  const Index most =
      std::max<Index>(1, Index{blocks_a_multiprocessor} * device.multiprocessors() / grid.channel_blocks);
  grid.row_blocks = static_cast<int>(std::clamp<Index>((rows + lines - 1) / lines, 1, most));
  return grid;
}

/// This thread's place: its first channel and its rows.
struct ChannelPlace {
  Index channel, first_row, row_step;
  bool has_channels;
};

template <int Width>
__device__ ChannelPlace channel_place(const ChannelGrid& grid) {
  const int thread = static_cast<int>(threadIdx.x), block = static_cast<int>(blockIdx.x);
  const Index lines = grid_threads / grid.columns;
  ChannelPlace place;
  place.channel = (Index{block % grid.channel_blocks} * grid.columns + thread % grid.columns) * Width;
  place.first_row = Index{block / grid.channel_blocks} * lines + thread / grid.columns;
  place.row_step = lines * grid.row_blocks;
  place.has_channels = place.channel < grid.channels;
  return place;
}

template <class T, int Width>
__device__ void load_pack(const T* from, float (&values)[Width]) {
  const auto pack = *reinterpret_cast<const swav::detail::Pack<T, Width>*>(from);
#pragma unroll
  for (int w = 0; w < Width; ++w) values[w] = static_cast<float>(pack.entries[w]);
}
template <class T, int Width>
__device__ void store_pack(const float (&values)[Width], T* to) {
  swav::detail::Pack<T, Width> pack;
#pragma unroll
  for (int w = 0; w < Width; ++w) pack.entries[w] = static_cast<T>(values[w]);
  *reinterpret_cast<swav::detail::Pack<T, Width>*>(to) = pack;
}

/// partials(row block, i, channel) = sum over the block's lines of its threads' sums[i], in the order of the lines.
/// Every thread of the block calls it.
template <int Count, int Width>
__device__ void store_partials(const ChannelGrid& grid, const float (&sums)[Count][Width], float* partials) {
  __shared__ float lines[grid_threads * Width];
  const int thread = static_cast<int>(threadIdx.x), block = static_cast<int>(blockIdx.x);
  const int stride = grid.columns * Width, count = grid_threads / grid.columns;
  const Index channel = Index{block % grid.channel_blocks} * stride + thread;
  for (int i = 0; i < Count; ++i) {
    __syncthreads();
    for (int w = 0; w < Width; ++w) lines[thread * Width + w] = sums[i][w];
    __syncthreads();
    if (thread >= stride || channel >= grid.channels) continue;
    float sum = 0;
    for (int line = 0; line < count; ++line) sum += lines[line * stride + thread];
    partials[(Index{block / grid.channel_blocks} * Count + i) * grid.channels + channel] = sum;
  }
}

/// body(T, width) with the type that activations are stored in and how many channels are read at once.
template <class Body>
void with_storage(Precision precision, Index channels, Body body) {
  if (precision == Precision::bfloat16) {
    swav::detail::require(channels % 8 == 0, "CudaEngine: ", channels, " channels found, a multiple of 8 wanted");
    body(__nv_bfloat16{}, std::integral_constant<int, 8>{});
  } else if (channels % 4 == 0) {
    body(float{}, std::integral_constant<int, 4>{});
  } else {
    body(float{}, std::integral_constant<int, 1>{});
  }
}

}  // namespace swav::resnet::cuda
