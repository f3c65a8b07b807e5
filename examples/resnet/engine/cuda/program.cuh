// A program whose steps are enqueued on the trainer's stream, over memory of the GPU. In: steps. Out: one arena there;
// runs that return before the work is done.
#pragma once

#include <string>
#include <utility>

#include "engine/cuda/device.cuh"
#include "engine/precision.hpp"
#include "engine/program.hpp"

namespace swav::resnet::cuda {

class CudaProgram : public Program {
 public:
  explicit CudaProgram(RankGroup ranks = {})
      : Program(std::move(ranks)), device_(trainer_device()), cudnn_(trainer_cudnn()) {}

  [[nodiscard]] const CudaDevice& device() const { return device_; }
  [[nodiscard]] cudnnHandle_t cudnn() const { return cudnn_; }

 private:
  [[nodiscard]] void* allocate(std::size_t bytes) override {
    try {
      return arena_.reserve(static_cast<Index>(bytes));
    } catch (const CudaError& error) {
      throw CudaError(std::string(error.what()) + "; smaller batches (of more of them a step), images or width wanted");
    }
  }
  void wait() override { device_.wait(); }
  [[nodiscard]] bool waits() const override { return false; }

  CudaDevice device_;
  cudnnHandle_t cudnn_;
  CudaBuffer<char> arena_;
};

/// A square activation, images x size x size x channels (NHWC), without padding.
struct CudaLayout {
  Index images = 0;
  Index channels = 0;
  Index size = 0;

  [[nodiscard]] constexpr Index pixels() const { return size * size; }
  /// Of channels: one a pixel of each image.
  [[nodiscard]] constexpr Index rows() const { return images * pixels(); }
  [[nodiscard]] std::size_t bytes(Precision precision) const {
    return static_cast<std::size_t>(rows() * channels) * bytes_of(precision);
  }
};

}  // namespace swav::resnet::cuda
