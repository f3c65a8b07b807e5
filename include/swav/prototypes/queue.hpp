// The embedding queue on the CPU; includes all it needs. In: shapes. Out: swav::EmbeddingQueue.
#pragma once

#include "swav/backend/eigen/row_passes.hpp"
#include "swav/prototypes/basic_queue.hpp"
