// The order in which an epoch visits the images. In: a seed and an epoch. Out: a permutation that depends on nothing
// else, so that a run resumes in the middle of an epoch without a record of what it has seen.
#pragma once

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "swav/core/matrix_view.hpp"
#include "swav/core/philox.hpp"

namespace swav::resnet {

/// Fills `order` with a uniformly drawn permutation of 0 .. order.size() - 1 (Fisher-Yates).
inline void epoch_order(std::uint64_t seed, std::uint64_t epoch, std::vector<Index>& order) {
  // A key of its own: crops and initial weights are drawn under the plain seed.
  constexpr std::uint64_t purpose = 0x6f72646572ULL;
  PhiloxStream random(seed ^ (purpose << 20), epoch);
  std::iota(order.begin(), order.end(), Index{0});
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
}

}  // namespace swav::resnet
