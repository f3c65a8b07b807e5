// Batch norm with its ReLU and shortcut on the GPU, in training and in evaluation: the calls of engine/batch_norm.hpp.
// In: a convolution's output, PyTorch's parameters in the GPU's memory. Out: steps of a CudaProgram.
// The batch is that of all ranks of the program.
#pragma once

#include "engine/cuda/norm_coefficients.cuh"
#include "engine/cuda/program.cuh"
#include "engine/norm_parameters.hpp"

namespace swav::resnet::cuda {

/// One batch norm at one resolution. The object must outlive the program's runs.
class BatchNorm {
 public:
  using Joined = JoinedBranch<BatchNorm>;
  using JoinedBackward = BackwardOfJoined<BatchNorm>;

  BatchNorm(CudaProgram& program, NormParameters& parameters, CudaLayout layout, Precision precision);
  BatchNorm(const BatchNorm&) = delete;

  void statistics(CudaProgram& program, Buffer* x);
  void running_statistics(CudaProgram& program);
  void relu(CudaProgram& program, Buffer* x, Joined joined, Buffer* output);
  void backward(CudaProgram& program, Buffer* x, Buffer* grad_output, Buffer* dx);
  void backward_joined(CudaProgram& program, const JoinedBackward& buffers);

 private:
  [[nodiscard]] NormPointers pointers() const;
  [[nodiscard]] Buffer* partials(CudaProgram& program, int count) const;
  /// Launches that bring a pass's partial sums to coefficients_.sums.
  void collect(int count, const Buffer* partials) const;
  /// Adds the first sums over the ranks.
  void share(const RankGroup& ranks, int count) const;
  /// From sums that may be in another norm's memory: a reduction serves both norms of a block's end.
  void store(const double* sums, int product, bool adds) const;
  void set_map(const double* sums, int product, const RankGroup& ranks) const;
  [[nodiscard]] double values(const RankGroup& ranks) const {
    return static_cast<double>(layout_.rows()) * ranks.size();
  }
  template <class Kernel, class... Arguments>
  void launch_channels(Kernel kernel, const Arguments&... arguments) const;

  NormParameters& parameters_;
  CudaLayout layout_;
  Precision precision_;
  CudaDevice device_;
  CudaBuffer<float> floats_;
  CudaBuffer<double> doubles_;
  NormCoefficients coefficients_;
};

}  // namespace swav::resnet::cuda
