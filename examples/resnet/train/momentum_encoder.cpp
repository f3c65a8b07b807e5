// MomentumEncoder: a network without gradients and an exponential moving average. In: parameters. Out: the same.
#include "train/momentum_encoder.hpp"

#include <algorithm>
#include <utility>

namespace swav::resnet {
namespace {

void average(std::span<float> slow, std::span<const float> fast, float momentum) {
  const auto count = static_cast<Index>(slow.size());
#pragma omp parallel for schedule(static)
  for (Index i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    slow[at] = momentum * slow[at] + (1 - momentum) * fast[at];
  }
}

std::span<const float> values(const Bank& bank) {
  return {bank.weights().data, static_cast<std::size_t>(bank.weights().size())};
}

}  // namespace

MomentumEncoder::MomentumEncoder(Network& followed, const Bank& bank, ImageGroup crops, Precision precision,
                                 double momentum, LossDevice device, RankGroup ranks)
    : network_(followed.architecture(), {crops}, precision, /*seed=*/0, Gradients::none, std::move(ranks)),
      bank_(bank.head_prototypes(), bank.dimension(), /*seed=*/0, device),
      momentum_(static_cast<float>(momentum)) {
  start_as(followed, bank);
}

void MomentumEncoder::start_as(Network& followed, const Bank& bank) {
  for (std::size_t i = 0; i < tensors().size(); ++i)
    std::ranges::copy(followed.tensors()[i].value, tensors()[i].value.begin());
  std::ranges::copy(values(bank), bank_.weights().data);
}

MatrixView<const float> MomentumEncoder::embed(std::span<const float> crops) {
  std::ranges::copy(crops, network_.input(0).begin());
  return network_.forward();
}

void MomentumEncoder::follow(Network& followed, const Bank& bank) {
  for (std::size_t i = 0; i < tensors().size(); ++i)
    if (!followed.tensors()[i].gradient.empty()) average(tensors()[i].value, followed.tensors()[i].value, momentum_);
  const MatrixView<float> weights = bank_.weights();
  average({weights.data, static_cast<std::size_t>(weights.size())}, values(bank), momentum_);
}

}  // namespace swav::resnet
