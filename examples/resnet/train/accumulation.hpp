// One step over several batches: what has to be kept of each. In: batches of crops, embeddings, gradients, one at a
// time. Out: the crops again, the embeddings of all, the mean gradient.
#pragma once

#include <span>
#include <vector>

#include "model/network.hpp"

namespace swav::resnet {

/// Codes have to be of all batches together, and the embeddings they are of are known only once every batch has gone
/// through the network: each goes through twice (the last one once), first for its embeddings alone. Crops are kept in
/// between, as the network reads them; running statistics are put back, so that they count a batch once. Training: see
/// basic_learner.hpp.
template <class Training>
class Accumulation {
  using Device = typename Training::Device;
  using Floats = typename Device::template Buffer<float>;
  using Bytes = typename Device::template Buffer<char>;

 public:
  /// Memory for `batches` of the network's inputs, of `views` x `samples` embeddings each.
  Accumulation(Network& network, const Device& device, Index batches, Index views, Index samples, Index dimension)
      : device_(device),
        samples_(samples),
        crops_(static_cast<std::size_t>(batches)),
        inputs_(static_cast<std::size_t>(batches)),
        views_(views),
        dimension_(dimension) {
    for (std::size_t batch = 0; batch < inputs_.size(); ++batch)
      for (std::size_t group = 0; group < network.groups(); ++group) {
        const ImageMemory images = network.images(group);
        char* const crops = crops_[batch].emplace_back().reserve(static_cast<Index>(images.bytes));
        copy(static_cast<const char*>(images.data), crops, images.bytes);  // what no crop writes is 0
        inputs_[batch].push_back(crops);
      }
    for (const NamedTensor& tensor : network.parameters())
      if (tensor.gradient.empty()) statistics_.emplace_back().reserve(static_cast<Index>(tensor.value.size()));
    Training::clear(device_, gradients_.reserve(gradient_count(network)), gradient_count(network));
    embeddings_.reserve(views * batches * samples * dimension);
  }

  [[nodiscard]] Index batches() const { return static_cast<Index>(inputs_.size()); }
  /// Where the crops of a batch go and are, an entry a group.
  [[nodiscard]] std::span<void* const> inputs(Index batch) const { return inputs_[static_cast<std::size_t>(batch)]; }
  /// Copies a batch's crops to the network.
  void feed(Network& network, Index batch) const {
    for (std::size_t group = 0; group < network.groups(); ++group) {
      const ImageMemory images = network.images(group);
      copy(static_cast<const char*>(inputs(batch)[group]), static_cast<char*>(images.data), images.bytes);
    }
  }

  void save_statistics(Network& network) {
    auto saved = statistics_.begin();
    for (const NamedTensor& tensor : network.parameters())
      if (tensor.gradient.empty()) copy(tensor.value.data(), (saved++)->data(), tensor.value.size());
  }
  void restore_statistics(Network& network) const {
    auto saved = statistics_.begin();
    for (const NamedTensor& tensor : network.parameters())
      if (tensor.gradient.empty()) copy((saved++)->data(), tensor.value.data(), tensor.value.size());
  }

  /// Keeps the first `views` views of a batch's embeddings among those of all.
  void keep_embeddings(Index batch, MatrixView<const float> z) {
    const Index all = batches() * samples_;
    for (Index view = 0; view < views_; ++view)
      copy(z.row(view * samples_), embeddings_.data() + (view * all + batch * samples_) * dimension_,
           static_cast<std::size_t>(samples_ * dimension_));
  }
  /// View-major, the samples of all batches a view.
  [[nodiscard]] MatrixView<const float> embeddings() const {
    return {embeddings_.data(), views_ * batches() * samples_, dimension_};
  }

  /// Adds the share of the network's and the prototypes' gradients that one batch has.
  void add_gradients(Network& network, VectorView<const float> grad_prototypes) {
    const float share = 1.0f / static_cast<float>(batches());
    Training::add(device_, gradients_.data(), network.gradients().data(), gradient_count(network), share);
    if (prototype_gradient_.data() == nullptr)
      Training::clear(device_, prototype_gradient_.reserve(grad_prototypes.size), grad_prototypes.size);
    Training::add(device_, prototype_gradient_.data(), grad_prototypes.data, grad_prototypes.size, share);
  }
  /// Writes the sums where the gradients are, and starts anew.
  void take_gradients(Network& network, VectorView<float> grad_prototypes) {
    copy(gradients_.data(), network.gradients().data(), network.gradients().size());
    copy(prototype_gradient_.data(), grad_prototypes.data, static_cast<std::size_t>(grad_prototypes.size));
    Training::clear(device_, gradients_.data(), gradient_count(network));
    Training::clear(device_, prototype_gradient_.data(), grad_prototypes.size);
  }

 private:
  static Index gradient_count(Network& network) { return static_cast<Index>(network.gradients().size()); }
  template <class T>
  void copy(const T* from, T* to, std::size_t count) const {
    Training::copy(device_, from, to, static_cast<Index>(count));
  }

  Device device_;
  Index samples_;
  std::vector<std::vector<Bytes>> crops_;  // of a batch, of a group
  std::vector<std::vector<void*>> inputs_;
  std::vector<Floats> statistics_;  // a tensor each
  Floats gradients_, prototype_gradient_, embeddings_;
  Index views_, dimension_;
};

}  // namespace swav::resnet
