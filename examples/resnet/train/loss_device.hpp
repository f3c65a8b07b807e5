// The device on which the trainer's loss is computed. In: nothing. Out: types that its parts share.
#pragma once

#include "swav/backend/eigen/onednn_product.hpp"
#include "swav/prototypes/bank.hpp"

namespace swav::resnet {

/// The network needs oneDNN anyway: its products serve the loss as well.
using LossDevice = BasicEigenDevice<OneDnnProduct>;
using Bank = PrototypeBank<float, LossDevice>;

}  // namespace swav::resnet
