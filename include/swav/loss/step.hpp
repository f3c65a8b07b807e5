// What one call of the swapped-prediction loss gives back, free of any backend.
#pragma once

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav {

/// What one call of the loss gives back.
template <class Scalar, class Device = EigenDevice>
struct SwappedPredictionStep {
  using Matrix = typename Device::template Matrix<Scalar>;
  DeviceValue<Device, double> value = 0;  ///< L, in nats
  Matrix grad_embeddings;                 ///< dL/dx ((V B) x D), with respect to the rows as they were handed in
  Matrix grad_prototypes;                 ///< dL/dC (K x D), with respect to the bank's rows as they are
  /// Mean entropy of a row of codes, in nats: ln K when nothing is decided, 0 when one-hot.
  DeviceValue<Device, double> codes_entropy = 0;
  DeviceValue<Device, Index> prototypes_used = 0;  ///< distinct arg max among the batch's codes, over all heads
};

}  // namespace swav
