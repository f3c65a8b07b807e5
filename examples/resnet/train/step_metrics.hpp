// What a training step measures. In: nothing. Out: an aggregate.
#pragma once

#include "swav/core/matrix_view.hpp"

namespace swav::resnet {

struct StepMetrics {
  double loss = 0;
  double code_entropy = 0;    // mean nats a row
  Index prototypes_used = 0;  // distinct arg max of a batch's codes
  double feature_spread = 0;  // 1: the unit embeddings fill the sphere; 0: they are all the same
  double learning_rate = 0;
  double data_seconds = 0;  // until the batch was there
};

}  // namespace swav::resnet
