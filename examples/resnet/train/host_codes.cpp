// The CPU's codes with a bank of their own, into which prototypes are copied. In: host memory. Out: the same.
#include "train/host_codes.hpp"

#include <algorithm>

#include "train/image_targets.hpp"
#include "train/unbalanced_codes.hpp"

namespace swav::resnet {
namespace {

Bank bank_for(const TrainOptions& options) {
  return {head_prototypes(options), options.embedding, /*seed=*/0, LossDevice(options.threads)};
}

void copy(MatrixView<const float> from, MatrixView<float> to) { std::copy_n(from.data, from.size(), to.data); }

std::vector<MatrixView<const float>> views_of(const ViewCodes<float, LossDevice>& codes) {
  return {codes.heads.begin(), codes.heads.end()};
}

}  // namespace

struct HostTargets::Implementation {
  ImageTargets targets;
  Bank bank;
};

HostTargets::HostTargets(const TrainOptions& options, Index images, Index stored)
    : implementation_(new Implementation{ImageTargets(options, images, stored), bank_for(options)}) {}
HostTargets::~HostTargets() = default;

void HostTargets::store(Index first, std::span<const Index> images, MatrixView<const float> z) {
  implementation_->targets.store(first, images, z);
}

void HostTargets::assign(Index epoch, MatrixView<float> prototypes) {
  Bank& bank = implementation_->bank;
  copy(prototypes, bank.weights());
  implementation_->targets.assign(epoch, bank);
  copy(bank.weights(), prototypes);
}

std::vector<MatrixView<const float>> HostTargets::codes(std::span<const Index> images, MatrixView<const float> z,
                                                        MatrixView<const float> prototypes) {
  copy(prototypes, implementation_->bank.weights());
  return views_of(implementation_->targets.codes(images, z, implementation_->bank));
}

std::vector<StateTensor> HostTargets::state() { return implementation_->targets.state(); }

struct HostUnbalanced::Implementation {
  UnbalancedCodes codes;
  Bank bank;
};

HostUnbalanced::HostUnbalanced(const TrainOptions& options, Index samples)
    : implementation_(new Implementation{UnbalancedCodes(options, samples), bank_for(options)}) {}
HostUnbalanced::~HostUnbalanced() = default;

std::vector<MatrixView<const float>> HostUnbalanced::codes(MatrixView<const float> z,
                                                           MatrixView<const float> prototypes, double epsilon) {
  copy(prototypes, implementation_->bank.weights());
  return views_of(implementation_->codes.codes(z, implementation_->bank, epsilon));
}

}  // namespace swav::resnet
