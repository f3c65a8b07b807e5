// The Thrust device with all its passes. In: an execution policy of Thrust. Out: swav::ThrustDevice for all components
// (docs/backends.md).
#pragma once

#include "swav/backend/thrust/batch_passes.hpp"
#include "swav/backend/thrust/crop_passes.hpp"
#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/gradient_passes.hpp"
#include "swav/backend/thrust/knn_passes.hpp"
#include "swav/backend/thrust/loss_passes.hpp"
#include "swav/backend/thrust/optim_passes.hpp"
#include "swav/backend/thrust/probe_passes.hpp"
#include "swav/backend/thrust/row_passes.hpp"
#include "swav/backend/thrust/sinkhorn_passes.hpp"
#include "swav/backend/thrust/statistics_passes.hpp"
#include "swav/backend/thrust/transport_passes.hpp"
