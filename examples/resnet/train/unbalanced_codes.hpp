// Codes without Sinkhorn, for seeing what it is there for. In: a batch's embeddings. Out: a softmax of each row's
// scores by itself, which nothing keeps from choosing the same prototype for every image.
#pragma once

#include "swav/loss/code_source.hpp"
#include "train/loss_device.hpp"
#include "train/options.hpp"

namespace swav::resnet {

/// --sinkhorn-iterations 0: a code is softmax(scores / epsilon), of unit embeddings (Caron et al. 2020, section 3.1,
/// without the constraint of equal parts).
class UnbalancedCodes {
 public:
  /// `samples`: images of a batch.
  UnbalancedCodes(const TrainOptions& options, Index samples);

  /// Codes of the views of crops_for_assign; valid until the next call. z: view-major, not normalised.
  const ViewCodes<float, LossDevice>& codes(MatrixView<const float> z, const Bank& bank, double epsilon);

 private:
  TrainOptions options_;
  RowMatrix<float> embeddings_;
  ViewCodes<float, LossDevice> codes_;
};

}  // namespace swav::resnet
