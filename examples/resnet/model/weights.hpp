// The whole state of a network: parameters, their gradients, running statistics. In: an Architecture and a seed. Out:
// named tensors in PyTorch's layouts, initialised as PyTorch would, the same for the same seed.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "engine/norm_parameters.hpp"
#include "model/architecture.hpp"

namespace swav::resnet {

/// One tensor of the state. `value` and `gradient` are row-major, of the product of `shape` elements.
struct NamedTensor {
  std::string name;  ///< torchvision's: layer1.0.conv1.weight; of the head: projection_head.0.weight
  std::vector<Index> shape;
  std::span<float> value;
  std::span<float> gradient;  ///< empty for running statistics
  bool decays = false;        ///< whether weight decay is meant for it: false for batch norm and biases
};

/// The tensor of that name; throws InvalidInput where there is none.
[[nodiscard]] NamedTensor& find_tensor(std::vector<NamedTensor>& tensors, const std::string& name);
/// The four of the batch norm of that name, and the gradients of two.
[[nodiscard]] NormArrays norm_arrays(std::vector<NamedTensor>& tensors, const std::string& name);

/// Owns the tensors of a trunk and, if the architecture has one, its head.
/// Initial values: convolutions normal with variance 2 / (out k k) (Kaiming, fan out); batch norm 1 and 0, running
/// statistics 0 and 1; linear layers uniform within 1 / sqrt(in), as PyTorch's default.
class Weights {
 public:
  Weights(const Architecture& architecture, const TrunkPlan& plan, std::uint64_t seed);

  [[nodiscard]] std::vector<NamedTensor>& tensors() { return tensors_; }
  /// All gradients in one piece, with zeros between some of them: for sums over processes.
  [[nodiscard]] std::span<float> gradients() { return gradients_; }
  /// The memory that all are views of.
  [[nodiscard]] std::span<float> storage() const { return {storage_.get(), size_}; }

 private:
  struct Free {
    void operator()(float* p) const { ::operator delete (p, std::align_val_t{64}); }
  };

  void add(std::string name, std::vector<Index> shape, bool decays);
  void add_norm(const std::string& name, Index channels);
  void add_linear(const std::string& name, Index out, Index in);
  void allocate();
  void initialise(std::uint64_t seed);

  std::vector<NamedTensor> tensors_;
  std::unique_ptr<float, Free> storage_;
  std::size_t size_ = 0;
  std::span<float> gradients_;
};

}  // namespace swav::resnet
