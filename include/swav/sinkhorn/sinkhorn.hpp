// The Sinkhorn solver on the CPU; includes all it needs. In: Eigen matrices. Out: swav::Sinkhorn<Scalar>.
#pragma once

#include "swav/backend/eigen/batch_passes.hpp"
#include "swav/backend/eigen/gradient_passes.hpp"
#include "swav/backend/eigen/product.hpp"
#include "swav/backend/eigen/row_passes.hpp"
#include "swav/backend/eigen/sinkhorn_passes.hpp"
#include "swav/backend/eigen/transport_passes.hpp"
#include "swav/sinkhorn/batch.hpp"
#include "swav/sinkhorn/divergence.hpp"
#include "swav/sinkhorn/gradients.hpp"
#include "swav/sinkhorn/plan_gradients.hpp"
#include "swav/sinkhorn/solver.hpp"
