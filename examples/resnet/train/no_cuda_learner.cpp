// The learners of a GPU, in a build without CUDA. In: anything. Out: InvalidInput.
#include "swav/core/error.hpp"
#include "train/learner_core.hpp"

namespace swav::resnet {

std::unique_ptr<LearnerCore> make_cuda_learner(const LearnerPlan&) {
  throw InvalidInput(
      "--device: cuda found, which this build is without; cpu, or a build with -DSWAV_WITH_CUDA=ON wanted");
}

}  // namespace swav::resnet
