// Feature and prototype statistics on the CPU; includes all they need. In: features. Out: swav::feature_spread and
// others.
#pragma once

#include "swav/backend/eigen/statistics_passes.hpp"
#include "swav/evaluate/basic_statistics.hpp"
