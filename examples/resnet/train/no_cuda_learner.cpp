// The learners of a GPU, and the way of images to it, in a build without CUDA. In: anything. Out: InvalidInput.
#include "swav/core/error.hpp"
#include "train/image_feed.hpp"
#include "train/learner_core.hpp"

namespace swav::resnet {

namespace {

[[noreturn]] void refuse() {
  throw InvalidInput(
      "--device: cuda found, which this build is without; cpu, or a build with -DSWAV_WITH_CUDA=ON wanted");
}

}  // namespace

std::unique_ptr<LearnerCore> make_cuda_learner(const LearnerPlan&) { refuse(); }
std::unique_ptr<ImageFeed> make_cuda_feed(const FeedPlan&) { refuse(); }

}  // namespace swav::resnet
