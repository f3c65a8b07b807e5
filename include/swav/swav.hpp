// Everything that computes on a CPU. In: Eigen. Out: namespace swav. Apart are what needs another library
// (backend/eigen/onednn_product.hpp) or the file system (io/); each header also compiles on its own.
#pragma once

#include "swav/backend/eigen/device.hpp"
#include "swav/backend/eigen/product.hpp"
#include "swav/backend/eigen/scalar.hpp"
#include "swav/core/device.hpp"
#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/philox.hpp"
#include "swav/core/row_passes.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/crops/multi_crop.hpp"
#include "swav/evaluate/knn.hpp"
#include "swav/evaluate/linear_probe.hpp"
#include "swav/evaluate/statistics.hpp"
#include "swav/loss/swapped_prediction.hpp"
#include "swav/optim/adamw.hpp"
#include "swav/optim/schedule.hpp"
#include "swav/optim/sgd.hpp"
#include "swav/prototypes/bank.hpp"
#include "swav/prototypes/queue.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"
