// cuDNN's descriptors as values. In: shapes. Out: objects that free themselves.
#pragma once

#include <memory>
#include <type_traits>

#include "engine/cuda/program.cuh"

namespace swav::resnet::cuda {

template <auto Destroy>
struct DestroyDescriptor {
  template <class Descriptor>
  void operator()(Descriptor* descriptor) const {
    Destroy(descriptor);
  }
};
template <class Handle, auto Destroy>
using Descriptor = std::unique_ptr<std::remove_pointer_t<Handle>, DestroyDescriptor<Destroy>>;

using TensorDescriptor = Descriptor<cudnnTensorDescriptor_t, cudnnDestroyTensorDescriptor>;
using FilterDescriptor = Descriptor<cudnnFilterDescriptor_t, cudnnDestroyFilterDescriptor>;
using ConvolutionDescriptor = Descriptor<cudnnConvolutionDescriptor_t, cudnnDestroyConvolutionDescriptor>;

[[nodiscard]] inline cudnnDataType_t cudnn_type(Precision precision) {
  return precision == Precision::float32 ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
}

[[nodiscard]] inline TensorDescriptor describe(const CudaLayout& layout, Precision precision) {
  cudnnTensorDescriptor_t made = nullptr;
  check_cudnn(cudnnCreateTensorDescriptor(&made), "cudnnCreateTensorDescriptor");
  TensorDescriptor descriptor(made);
  const auto size = static_cast<int>(layout.size);
  check_cudnn(
      cudnnSetTensor4dDescriptor(made, CUDNN_TENSOR_NHWC, cudnn_type(precision), static_cast<int>(layout.images),
                                 static_cast<int>(layout.channels), size, size),
      "cudnnSetTensor4dDescriptor");
  return descriptor;
}

/// Filters out x kernel x kernel x in.
[[nodiscard]] inline FilterDescriptor describe_filters(Index out, Index in, Index kernel, Precision precision) {
  cudnnFilterDescriptor_t made = nullptr;
  check_cudnn(cudnnCreateFilterDescriptor(&made), "cudnnCreateFilterDescriptor");
  FilterDescriptor descriptor(made);
  check_cudnn(cudnnSetFilter4dDescriptor(made, cudnn_type(precision), CUDNN_TENSOR_NHWC, static_cast<int>(out),
                                         static_cast<int>(in), static_cast<int>(kernel), static_cast<int>(kernel)),
              "cudnnSetFilter4dDescriptor");
  return descriptor;
}

/// Padded by (kernel - 1) / 2, summed in float. Products of floats keep float's digits; those of bfloat16 are tensor
/// cores'.
[[nodiscard]] inline ConvolutionDescriptor describe_convolution(Index kernel, Index stride, Precision precision) {
  cudnnConvolutionDescriptor_t made = nullptr;
  check_cudnn(cudnnCreateConvolutionDescriptor(&made), "cudnnCreateConvolutionDescriptor");
  ConvolutionDescriptor descriptor(made);
  const int padding = (static_cast<int>(kernel) - 1) / 2, step = static_cast<int>(stride);
  check_cudnn(cudnnSetConvolution2dDescriptor(made, padding, padding, step, step, 1, 1, CUDNN_CROSS_CORRELATION,
                                              CUDNN_DATA_FLOAT),
              "cudnnSetConvolution2dDescriptor");
  check_cudnn(
      cudnnSetConvolutionMathType(made, precision == Precision::float32 ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH),
      "cudnnSetConvolutionMathType");
  return descriptor;
}

}  // namespace swav::resnet::cuda
