// The engine on the GPU: what the model's templates ask an engine for (engine/dnnl_engine.hpp is the CPU's). In:
// nothing. Out: layers by cuDNN, cuBLAS and our own kernels, memory of the GPU.
#pragma once

#include <span>
#include <vector>

#include "engine/cuda/batch_norm.cuh"
#include "engine/cuda/convolution.cuh"
#include "engine/cuda/host_memory.cuh"
#include "engine/cuda/images.cuh"
#include "engine/cuda/linear.cuh"
#include "engine/cuda/pooling.cuh"

namespace swav::resnet {

struct CudaEngine {
  using Program = cuda::CudaProgram;
  using Layout = cuda::CudaLayout;
  using ConvolutionWeights = cuda::ConvolutionWeights;
  using Convolution = cuda::Convolution;
  using BatchNorm = cuda::BatchNorm;
  using MaxPooling = cuda::MaxPooling;
  using GlobalPooling = cuda::GlobalPooling;
  using Linear = cuda::Linear;
  using Images = cuda::Images;
  using State = cuda::State;
  using HostRows = cuda::HostRows;

  /// That of cuda::Images.
  static Layout first_layout(const Program&, Precision precision, Index images, Index, Index size, Index) {
    return {images, cuda::padded_channels(precision), size};
  }
  static Layout row_layout(Index rows, Index channels) { return {rows, channels, 1}; }

  /// Both in the GPU's memory.
  static void copy_rows(const Program& program, MatrixView<const float> from, float* to) {
    const auto bytes = [](Index count) { return static_cast<std::size_t>(count) * sizeof(float); };
    swav::detail::check_cuda(
        cudaMemcpy2DAsync(to, bytes(from.cols), from.data, bytes(from.stride), bytes(from.cols),
                          static_cast<std::size_t>(from.rows), cudaMemcpyDeviceToDevice, program.device().stream()),
        "cudaMemcpy2DAsync");
  }
};

}  // namespace swav::resnet
