// Codes that are not by the loss's Sinkhorn, for a learner on the GPU: found by the CPU, a step's embeddings and codes
// being little beside its work. In: embeddings and prototypes on the GPU. Out: codes there.
#pragma once

#include <span>
#include <vector>

#include "engine/cuda/device.cuh"
#include "swav/loss/code_source.hpp"
#include "swav/prototypes/basic_bank.hpp"
#include "train/host_codes.hpp"

namespace swav::resnet::cuda {

/// Copies of the GPU's matrices in the host's memory, and back; each call waits for the stream.
class HostCopies {
 public:
  using Bank = PrototypeBank<float, CudaDevice>;

  [[nodiscard]] MatrixView<const float> embeddings(MatrixView<const float> z) { return fetch(z, z_); }
  [[nodiscard]] MatrixView<float> prototypes(const Bank& bank) { return fetch(bank.weights(), prototypes_); }
  void write(MatrixView<const float> prototypes, Bank& bank) const {
    swav::detail::upload(device_, prototypes.data, prototypes.size(), bank.weights().data);
  }
  void write(const std::vector<MatrixView<const float>>& heads, ViewCodes<float, CudaDevice>& codes) const {
    for (std::size_t head = 0; head < heads.size(); ++head) {
      const MatrixView<const float> from = heads[head];
      if (codes.heads.size() == head) codes.heads.emplace_back(from.rows, from.cols);
      swav::detail::upload(device_, from.data, from.size(), codes.heads[head].data());
    }
  }

 private:
  MatrixView<float> fetch(MatrixView<const float> from, std::vector<float>& to) const {
    to.resize(static_cast<std::size_t>(from.size()));
    swav::detail::download(device_, from.data, from.size(), to.data());
    return {to.data(), from.rows, from.cols};
  }

  CudaDevice device_ = trainer_device();
  std::vector<float> z_, prototypes_;
};

/// The calls of ImageTargets.
class ImageTargets {
 public:
  ImageTargets(const TrainOptions& options, Index images, Index stored)
      : targets_(options, images, stored), codes_{.samples = options.batch_size, .of_samples = true} {}

  void store(Index first, std::span<const Index> images, MatrixView<const float> z) {
    targets_.store(first, images, copies_.embeddings(z));
  }
  void assign(Index epoch, HostCopies::Bank& bank) {
    const MatrixView<float> prototypes = copies_.prototypes(bank);
    targets_.assign(epoch, prototypes);
    copies_.write(prototypes, bank);
  }
  const ViewCodes<float, CudaDevice>& codes(std::span<const Index> images, MatrixView<const float> z,
                                            const HostCopies::Bank& bank) {
    copies_.write(targets_.codes(images, copies_.embeddings(z), copies_.prototypes(bank)), codes_);
    return codes_;
  }
  [[nodiscard]] std::vector<StateTensor> state() { return targets_.state(); }

 private:
  HostCopies copies_;
  HostTargets targets_;
  ViewCodes<float, CudaDevice> codes_;
};

/// The call of UnbalancedCodes.
class UnbalancedCodes {
 public:
  UnbalancedCodes(const TrainOptions& options, Index samples) : found_(options, samples), codes_{.samples = samples} {}

  const ViewCodes<float, CudaDevice>& codes(MatrixView<const float> z, const HostCopies::Bank& bank, double epsilon) {
    copies_.write(found_.codes(copies_.embeddings(z), copies_.prototypes(bank), epsilon), codes_);
    return codes_;
  }

 private:
  HostCopies copies_;
  HostUnbalanced found_;
  ViewCodes<float, CudaDevice> codes_;
};

}  // namespace swav::resnet::cuda
