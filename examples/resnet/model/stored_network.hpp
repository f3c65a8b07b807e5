// A network from a file, whoever wrote it. In: a safetensors file of swav-train, of torchvision's layout, or of the
// layout that the SwAV release publishes. Out: the architecture, and the tensors under our names.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/network.hpp"
#include "swav/io/safetensors.hpp"

namespace swav::resnet {

/// Layouts differ in little: "module." before every name (PyTorch's DataParallel; dropped), the number of batches that
/// a batch norm has seen (not used), several prototype heads "prototypes.prototypes0.weight" and on. What belongs to no
/// network, such as an optimiser's state, is left aside. Floats of 16 and 64 bits become float.
class StoredNetwork {
 public:
  struct Tensor {
    std::vector<Index> shape;
    std::vector<float> values;
  };

  /// `path` is a file, or a run's folder, whose checkpoint is then meant. Throws FileError unless it holds a residual
  /// network of a depth, width and stem that Architecture knows: a tensor that is missing, of another shape or type, or
  /// that no such network has; or a projection head other than Linear-BatchNorm-ReLU-Linear.
  explicit StoredNetwork(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const Architecture& architecture() const { return architecture_; }
  /// What else the file says of itself.
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// K x embedding, one a head; empty for a file without.
  [[nodiscard]] const std::vector<Tensor>& prototypes() const { return prototypes_; }
  /// Whether the file has a classifier on the features: "fc.weight" (classes x features) and "fc.bias".
  [[nodiscard]] bool has_classifier() const { return tensors_.contains("fc.weight"); }
  /// The tensor of that name, which exists: as in Weights, or of the classifier.
  [[nodiscard]] const Tensor& operator[](const std::string& name) const { return tensors_.at(name); }

  /// Overwrites those of the tensors that the file has: a network without a head takes none, one with a head needs it.
  /// Throws FileError, with nothing changed, where one is missing or of another shape.
  void copy_to(std::vector<NamedTensor>& tensors) const;
  /// A network with these weights, trained on nothing yet.
  [[nodiscard]] std::unique_ptr<Network> network(const Architecture& architecture, std::vector<ImageGroup> groups,
                                                 Precision precision, Processor processor = Processor::cpu) const;
  /// The same to take features of: its own training takes as little memory as there can be.
  [[nodiscard]] std::unique_ptr<Network> network_for_features(Precision precision,
                                                              Processor processor = Processor::cpu) const;

 private:
  void find_architecture();
  void check_tensors() const;

  std::string path_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Tensor> tensors_;
  std::vector<Tensor> prototypes_;
  Architecture architecture_;
};

}  // namespace swav::resnet
