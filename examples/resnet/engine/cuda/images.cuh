// The images of a network on the GPU, where its first convolution reads them. In: float planes of the host, or whoever
// renders on the GPU. Out: NHWC in the network's precision, channels padded with zeros to what tensor cores read.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "engine/cuda/channel_grid.cuh"
#include "engine/cuda/host_memory.cuh"
#include "engine/cuda/program.cuh"
#include "model/architecture.hpp"

namespace swav::resnet::cuda {

/// Channels of a network's images in memory: 16 bytes a pixel.
[[nodiscard]] constexpr Index padded_channels(Precision precision) { return precision == Precision::float32 ? 4 : 8; }

/// A pixel a thread: its `channels` values from planes of `pixels`, then zeros.
template <class T, int Padded>
__global__ void __launch_bounds__(grid_threads)
    interleave_images(Index images, Index channels, Index pixels, const float* planar, T* rows) {
  const Index at = static_cast<Index>(blockIdx.x) * grid_threads + threadIdx.x;
  if (at >= images * pixels) return;
  const float* const image = planar + at / pixels * channels * pixels + at % pixels;
  float values[Padded];
  for (int c = 0; c < Padded; ++c) values[c] = c < channels ? image[c * pixels] : 0.0f;
  store_pack(values, rows + at * Padded);
}

/// Once values() has been asked for, the program begins by copying the host's planes; else by what is in memory().
class Images {
 public:
  Images(CudaProgram& program, ImageGroup group, Index channels, Precision precision)
      : planes_{group.images, channels, group.size},
        precision_(precision),
        device_(program.device()),
        copied_(make_event()) {
    swav::detail::require(channels <= padded_channels(precision), "CudaEngine: images of ", channels,
                          " channels found, at most ", padded_channels(precision), " wanted");
    const CudaLayout padded{group.images, padded_channels(precision), group.size};
    bytes_ = padded.bytes(precision);
    rows_ = program.kept_buffer(bytes_);
    Buffer* const uploaded = program.buffer(planes_.bytes(Precision::float32));
    program.add(Section::forward, "images", {uploaded, rows_}, [this, uploaded] {
      if (host_) upload(uploaded->as<float>());
    });
  }
  Images(const Images&) = delete;

  /// Planar floats that the host writes between runs.
  [[nodiscard]] std::span<float> values() {
    if (!host_) host_.emplace(static_cast<std::size_t>(planes_.rows() * planes_.channels));
    return host_->values();
  }
  [[nodiscard]] Buffer* buffer() const { return rows_; }
  /// Zeros at first.
  [[nodiscard]] ImageMemory memory() {
    if (!std::exchange(is_cleared_, true))
      swav::detail::check_cuda(cudaMemsetAsync(rows_->data(), 0, bytes_, device_.stream()), "cudaMemsetAsync");
    return {rows_->data(), bytes_, padded_channels(precision_), precision_};
  }
  /// Returns once the host may write again.
  void wait() const {
    if (host_) swav::detail::check_cuda(cudaEventSynchronize(copied_.get()), "cudaEventSynchronize");
  }

 private:
  void upload(float* to) const {
    using swav::detail::check_cuda;
    using swav::detail::launch;
    const std::span<float> planes = host_->values();
    check_cuda(cudaMemcpyAsync(to, planes.data(), planes.size_bytes(), cudaMemcpyHostToDevice, device_.stream()),
               "cudaMemcpyAsync");
    check_cuda(cudaEventRecord(copied_.get(), device_.stream()), "cudaEventRecord");
    const Index blocks = (planes_.rows() + grid_threads - 1) / grid_threads;
    if (precision_ == Precision::float32)
      launch(device_, blocks, grid_threads, interleave_images<float, 4>, planes_.images, planes_.channels,
             planes_.pixels(), to, rows_->as<float>());
    else
      launch(device_, blocks, grid_threads, interleave_images<__nv_bfloat16, 8>, planes_.images, planes_.channels,
             planes_.pixels(), to, rows_->as<__nv_bfloat16>());
  }

  CudaLayout planes_;
  Precision precision_;
  CudaDevice device_;
  Event copied_;
  std::optional<PinnedFloats> host_;
  std::size_t bytes_ = 0;
  Buffer* rows_ = nullptr;
  bool is_cleared_ = false;
};

}  // namespace swav::resnet::cuda
