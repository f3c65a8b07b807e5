// The CUDA device with all its passes. In: a stream. Out: swav::CudaDevice for the components that docs/backends.md
// lists. Needs nvcc, with --extended-lambda --expt-relaxed-constexpr, and cuBLAS.
#pragma once

#include "swav/backend/cuda/codes.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/loss.cuh"
#include "swav/backend/cuda/row_passes.cuh"
#include "swav/backend/cuda/scalar.cuh"
#include "swav/backend/cuda/transport_passes.cuh"
#include "swav/loss/basic_swapped_prediction.hpp"
#include "swav/sinkhorn/solver.hpp"
