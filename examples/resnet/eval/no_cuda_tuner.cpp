// The tuner of a GPU, in a build without CUDA. In: anything. Out: InvalidInput.
#include "eval/tuner.hpp"
#include "swav/core/error.hpp"

namespace swav::resnet {

std::unique_ptr<Tuner> make_cuda_tuner(const TunerPlan&) {
  throw InvalidInput(
      "--device: cuda found, which this build is without; cpu, or a build with -DSWAV_WITH_CUDA=ON wanted");
}

}  // namespace swav::resnet
