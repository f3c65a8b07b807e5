// Sgd on the CPU; includes all it needs. In: parameters with their gradients. Out: swav::Sgd<Scalar>.
#pragma once

#include "swav/backend/eigen/optim_passes.hpp"
#include "swav/optim/basic_sgd.hpp"
