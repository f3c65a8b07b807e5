// Pooling on the GPU: the calls of engine/max_pooling.hpp and engine/global_pooling.hpp. In: activations in NHWC. Out:
// steps of a CudaProgram.
#pragma once

#include "engine/cuda/program.cuh"

namespace swav::resnet::cuda {

/// 3x3, stride 2, padding 1.
class MaxPooling {
 public:
  MaxPooling(CudaLayout input, Precision precision);

  [[nodiscard]] const CudaLayout& output() const { return output_; }
  void forward(CudaProgram& program, Buffer* input, Buffer* output);
  void backward(CudaProgram& program, Buffer* grad_output, Buffer* grad_input);

 private:
  CudaLayout input_, output_;
  Precision precision_;
  Buffer* places_ = nullptr;  // which element of each window was the largest, a byte each
};

class GlobalPooling {
 public:
  GlobalPooling(const CudaProgram& program, CudaLayout input, Precision precision)
      : device_(program.device()), input_(input), precision_(precision) {}

  void forward(CudaProgram& program, Buffer* input, Buffer* features, Index first_row) const;
  void backward(CudaProgram& program, Buffer* grad_features, Index first_row, Buffer* grad_input) const;
  void add_gradients(CudaProgram& program, Buffer* a, Buffer* b) const;

 private:
  CudaDevice device_;
  CudaLayout input_;
  Precision precision_;
};

}  // namespace swav::resnet::cuda
