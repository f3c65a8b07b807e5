// The prototype bank on the CPU; includes all it needs. In: a count, a dimension, a seed. Out: swav::PrototypeBank.
#pragma once

#include "swav/backend/eigen/product.hpp"
#include "swav/backend/eigen/row_passes.hpp"
#include "swav/prototypes/basic_bank.hpp"
