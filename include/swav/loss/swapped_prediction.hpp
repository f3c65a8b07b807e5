// The swapped-prediction loss on the CPU; includes all it needs. In: Eigen matrices. Out: swav::SwappedPredictionLoss.
#pragma once

#include "swav/backend/eigen/loss_passes.hpp"
#include "swav/loss/basic_swapped_prediction.hpp"
#include "swav/prototypes/bank.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"
