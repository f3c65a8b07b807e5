// The tuner of a GPU, in a build without CUDA. In: anything. Out: InvalidInput.
#include "eval/tuner.hpp"
#include "model/without_cuda.hpp"

namespace swav::resnet {

std::unique_ptr<Tuner> make_cuda_tuner(const TunerPlan&) { refuse_cuda(); }

}  // namespace swav::resnet
