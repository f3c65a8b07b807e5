// The learners of a GPU, and the way of images to it, in a build without CUDA. In: anything. Out: InvalidInput.
#include "model/without_cuda.hpp"
#include "train/image_feed.hpp"
#include "train/learner_core.hpp"

namespace swav::resnet {

std::unique_ptr<LearnerCore> make_cuda_learner(const LearnerPlan&) { refuse_cuda(); }
std::unique_ptr<ImageFeed> make_cuda_feed(const FeedPlan&) { refuse_cuda(); }

}  // namespace swav::resnet
