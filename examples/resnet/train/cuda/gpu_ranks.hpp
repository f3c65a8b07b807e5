// Ranks with a GPU each. In: processes that reduce numbers of the host's. Out: the same, which reduce those of a GPU,
// too.
#pragma once

#include "engine/rank_group.hpp"

namespace swav::resnet::cuda {

/// Gives each rank a GPU of its machine, by its number there, and joins them by NCCL: sums and maxima of what is in a
/// GPU's memory are enqueued on trainer_device()'s stream, all else goes the old way. To be called before that device
/// is first asked for. The group lives until the process ends: a rank that leaves by an error must not wait for others.
/// A group of one stays alone, on the GPU that is chosen. Throws InvalidInput, in all ranks, where there are fewer GPUs
/// than ranks, and where NCCL is missing; CudaError where there is no GPU, or NCCL fails.
[[nodiscard]] RankGroup join_gpus(const RankGroup& ranks);

}  // namespace swav::resnet::cuda
