// The linear probe on the CPU; includes all it needs. In: features and labels. Out: swav::LinearProbe<Scalar>.
#pragma once

#include "swav/backend/eigen/optim_passes.hpp"
#include "swav/backend/eigen/probe_passes.hpp"
#include "swav/backend/eigen/row_passes.hpp"
#include "swav/evaluate/basic_linear_probe.hpp"
