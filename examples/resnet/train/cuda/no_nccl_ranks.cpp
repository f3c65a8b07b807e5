// What stands in for ranks with a GPU each in a build without NCCL. In: ranks. Out: one alone, or InvalidInput.
#include "swav/core/error.hpp"
#include "train/cuda/gpu_ranks.hpp"

namespace swav::resnet::cuda {

RankGroup join_gpus(const RankGroup& ranks) {
  swav::detail::require(
      ranks.size() == 1, "--device: cuda found with ", ranks.size(),
      " ranks in a build without NCCL, one, or a build where nccl.h and its library are found wanted");
  return {};
}

}  // namespace swav::resnet::cuda
