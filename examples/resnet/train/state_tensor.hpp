// One tensor of a run's state. In: memory that somebody owns. Out: a view with a name, for checkpoints.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "swav/core/matrix_view.hpp"

namespace swav::resnet {

struct StateTensor {
  std::string name;
  std::vector<Index> shape;
  std::span<float> value;
};

}  // namespace swav::resnet
