// The engine on the CPU: what the model's templates ask an engine for. In: nothing. Out: layers by oneDNN and our own
// passes, memory of the host.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "engine/batch_norm.hpp"
#include "engine/convolution.hpp"
#include "engine/global_pooling.hpp"
#include "engine/linear.hpp"
#include "engine/max_pooling.hpp"
#include "model/weights.hpp"

namespace swav::resnet {

/// An engine is a set of types: the program, the layout of activations, the layers, which all add steps to a program,
/// and where images, state and results lie. CudaEngine (engine/cuda/engine.cuh) is the other.
struct DnnlEngine {
  using Program = DnnlProgram;
  using Layout = ChannelLayout;
  using ConvolutionWeights = resnet::ConvolutionWeights;
  using Convolution = resnet::Convolution;
  using BatchNorm = resnet::BatchNorm;
  using MaxPooling = resnet::MaxPooling;
  using GlobalPooling = resnet::GlobalPooling;
  using Linear = resnet::Linear;

  /// The layout of a network's first activation; its convolutions have `network_channels` or more.
  static Layout first_layout(const Program& program, Precision precision, Index images, Index channels, Index size,
                             Index network_channels) {
    return {images, channels, size, preferred_blocking(program.engine(), precision, network_channels)};
  }
  /// Rows of floats as an activation of one pixel.
  static Layout row_layout(Index rows, Index channels) { return {rows, channels, 1, Blocking::channels_last}; }

  /// Planar float images that the host writes between runs, and the program reads.
  class Images {
   public:
    Images(Program& program, ImageGroup group, Index channels, Precision)
        : values_(static_cast<std::size_t>(group.images * channels * group.size * group.size)),
          buffer_(program.external(values_.data())) {}
    [[nodiscard]] std::span<float> values() { return values_; }
    [[nodiscard]] Buffer* buffer() const { return buffer_; }
    [[nodiscard]] ImageMemory memory() {
      return {values_.data(), values_.size() * sizeof(float), 0, Precision::float32};
    }
    /// Returns once the host may write again.
    void wait() const {}

   private:
    std::vector<float> values_;
    Buffer* buffer_;
  };

  /// The tensors where the layers read and write them.
  class State {
   public:
    explicit State(Weights& weights) : weights_(weights) {}
    [[nodiscard]] std::vector<NamedTensor>& tensors() { return weights_.tensors(); }
    [[nodiscard]] std::span<float> gradients() { return weights_.gradients(); }
    void upload() {}
    void download() {}

   private:
    Weights& weights_;
  };

  /// Results for the host.
  class HostRows {
   public:
    [[nodiscard]] MatrixView<const float> fetch(const Program&, const Buffer* from, Index rows, Index cols) {
      return {from->as<float>(), rows, cols};
    }
  };

  static void copy_rows(const Program&, MatrixView<const float> from, float* to) {
    for (Index r = 0; r < from.rows; ++r) std::copy_n(from.row(r), from.cols, to + r * from.cols);
  }
};

}  // namespace swav::resnet
