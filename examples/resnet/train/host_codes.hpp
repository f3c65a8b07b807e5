// Codes that the CPU finds for a learner elsewhere: ImageTargets and UnbalancedCodes, on memory of the host alone, for
// files that nvcc compiles. In: embeddings and prototypes. Out: codes, a matrix a head.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "swav/core/matrix_view.hpp"
#include "train/options.hpp"
#include "train/state_tensor.hpp"

namespace swav::resnet {

/// Prototypes are those of all heads, one below the other; what is returned is valid until the next call.
class HostTargets {
 public:
  /// See ImageTargets for all of these.
  HostTargets(const TrainOptions& options, Index images, Index stored);
  ~HostTargets();

  void store(Index first, std::span<const Index> images, MatrixView<const float> z);
  /// May write the prototypes.
  void assign(Index epoch, MatrixView<float> prototypes);
  [[nodiscard]] std::vector<MatrixView<const float>> codes(std::span<const Index> images, MatrixView<const float> z,
                                                           MatrixView<const float> prototypes);
  [[nodiscard]] std::vector<StateTensor> state();

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

class HostUnbalanced {
 public:
  /// See UnbalancedCodes for both.
  HostUnbalanced(const TrainOptions& options, Index samples);
  ~HostUnbalanced();

  [[nodiscard]] std::vector<MatrixView<const float>> codes(MatrixView<const float> z,
                                                           MatrixView<const float> prototypes, double epsilon);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace swav::resnet
