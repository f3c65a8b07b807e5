// What the ranks of a run decide together. In: what each has found. Out: the same for all.
#pragma once

#include <string>
#include <vector>

#include "engine/rank_group.hpp"
#include "train/checkpoint.hpp"

namespace swav::resnet {

[[nodiscard]] double largest_of_ranks(const RankGroup& ranks, double value);

/// The lines of all ranks, rank by rank; each may hold any bytes.
[[nodiscard]] std::vector<std::string> of_all_ranks(const RankGroup& ranks, const std::vector<std::string>& lines);

/// Throws InvalidInput, in all ranks, unless they have found the same images and the same checkpoint.
void require_one_run(const RankGroup& ranks, const RunPosition& position);

}  // namespace swav::resnet
