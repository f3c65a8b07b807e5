// A build without CUDA. In: a request for a GPU. Out: InvalidInput.
#pragma once

#include "swav/core/error.hpp"

namespace swav::resnet {

/// Says what to build.
[[noreturn]] inline void refuse_cuda() {
  throw InvalidInput(
      "--device: cuda found, which this build is without; cpu, or a build with -DSWAV_WITH_CUDA=ON wanted");
}

}  // namespace swav::resnet
