// k-NN on the CPU; includes all it needs. In: features and labels. Out: swav::KnnClassifier<Scalar>.
#pragma once

#include "swav/backend/eigen/knn_passes.hpp"
#include "swav/evaluate/basic_knn.hpp"
