// The CUDA device with all its passes. In: a stream. Out: swav::CudaDevice for the components that docs/backends.md
// lists. Needs nvcc, with --extended-lambda --expt-relaxed-constexpr, and cuBLAS.
#pragma once

#include "swav/backend/cuda/batch_passes.cuh"
#include "swav/backend/cuda/codes.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/evaluate_passes.cuh"
#include "swav/backend/cuda/gradient_passes.cuh"
#include "swav/backend/cuda/loss.cuh"
#include "swav/backend/cuda/optim_passes.cuh"
#include "swav/backend/cuda/row_passes.cuh"
#include "swav/backend/cuda/scalar.cuh"
#include "swav/backend/cuda/transport_passes.cuh"
#include "swav/evaluate/basic_linear_probe.hpp"
#include "swav/evaluate/basic_statistics.hpp"
#include "swav/loss/basic_swapped_prediction.hpp"
#include "swav/optim/basic_adamw.hpp"
#include "swav/optim/basic_sgd.hpp"
#include "swav/sinkhorn/batch.hpp"
#include "swav/sinkhorn/divergence.hpp"
#include "swav/sinkhorn/gradients.hpp"
#include "swav/sinkhorn/plan_gradients.hpp"
#include "swav/sinkhorn/solver.hpp"
