// Accumulation by copies and sums. In: a network's memory. Out: the same.
#include "train/accumulation.hpp"

#include <algorithm>

namespace swav::resnet {
namespace {

void add(std::vector<float>& sums, const float* values, float share) {
  const auto count = static_cast<Index>(sums.size());
#pragma omp parallel for schedule(static)
  for (Index i = 0; i < count; ++i) sums[static_cast<std::size_t>(i)] += share * values[i];
}

void move_to(std::vector<float>& sums, float* values) {
  std::ranges::copy(sums, values);
  std::ranges::fill(sums, 0.0f);
}

}  // namespace

Accumulation::Accumulation(Network& network, Index batches, Index views, Index samples, Index dimension)
    : samples_(samples),
      inputs_(static_cast<std::size_t>(batches)),
      pointers_(static_cast<std::size_t>(batches)),
      embeddings_(views * batches * samples, dimension) {
  for (std::size_t batch = 0; batch < inputs_.size(); ++batch)
    for (std::size_t group = 0; group < network.groups(); ++group)
      pointers_[batch].push_back(inputs_[batch].emplace_back(network.input(group).size()).data());
  for (const NamedTensor& tensor : network.tensors())
    (tensor.gradient.empty() ? statistics_ : gradients_).emplace_back(tensor.value.size());
  gradients_.emplace_back();
}

void Accumulation::feed(Network& network, Index batch) const {
  for (std::size_t group = 0; group < network.groups(); ++group)
    std::ranges::copy(input(batch, group), network.input(group).begin());
}

void Accumulation::save_statistics(Network& network) {
  auto saved = statistics_.begin();
  for (const NamedTensor& tensor : network.tensors())
    if (tensor.gradient.empty()) std::ranges::copy(tensor.value, (saved++)->begin());
}

void Accumulation::restore_statistics(Network& network) const {
  auto saved = statistics_.begin();
  for (const NamedTensor& tensor : network.tensors())
    if (tensor.gradient.empty()) std::ranges::copy(*saved++, tensor.value.begin());
}

void Accumulation::keep_embeddings(Index batch, MatrixView<const float> z) {
  const Index all = batches() * samples_;
  for (Index view = 0; view < embeddings_.rows() / all; ++view)
    embeddings_.middleRows(view * all + batch * samples_, samples_) =
        detail::as_eigen(z.middle_rows(view * samples_, samples_));
}

void Accumulation::add_gradients(Network& network, VectorView<const float> grad_prototypes) {
  const float share = 1.0f / static_cast<float>(batches());
  auto sums = gradients_.begin();
  for (const NamedTensor& tensor : network.tensors())
    if (!tensor.gradient.empty()) add(*sums++, tensor.gradient.data(), share);
  sums->resize(static_cast<std::size_t>(grad_prototypes.size));
  add(*sums, grad_prototypes.data, share);
}

void Accumulation::take_gradients(Network& network, VectorView<float> grad_prototypes) {
  auto sums = gradients_.begin();
  for (const NamedTensor& tensor : network.tensors())
    if (!tensor.gradient.empty()) move_to(*sums++, tensor.gradient.data());
  move_to(*sums, grad_prototypes.data);
}

}  // namespace swav::resnet
