// A draw from each class. In: labels. Out: image numbers.
#include "eval/subset.hpp"

#include <algorithm>
#include <cmath>

#include "swav/core/error.hpp"
#include "swav/core/philox.hpp"
#include "swav/evaluate/labels.hpp"

namespace swav::resnet {

std::vector<Index> balanced_subset(VectorView<const int> labels, double share, std::uint64_t seed) {
  detail::require(share > 0 && share <= 1, "--labels: ", share, " found, a share above 0 and up to 1 wanted");
  const int classes = detail::check_labels("labels", labels, labels.size);
  std::vector<std::vector<Index>> members(static_cast<std::size_t>(classes));
  for (Index i = 0; i < labels.size; ++i) members[static_cast<std::size_t>(labels[i])].push_back(i);
  constexpr std::uint64_t purpose = 0x6c6162656c73ULL;  // a key of its own, beside those of crops and orders
  std::vector<Index> chosen;
  for (std::size_t c = 0; c < members.size(); ++c) {
    std::vector<Index>& all = members[c];
    if (all.empty()) continue;
    PhiloxStream random(seed ^ (purpose << 16), c);
    for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random.below(i)]);
    const auto count = static_cast<std::ptrdiff_t>(std::lround(share * static_cast<double>(all.size())));
    chosen.insert(chosen.end(), all.begin(), all.begin() + std::max<std::ptrdiff_t>(1, count));
  }
  std::ranges::sort(chosen);
  return chosen;
}

}  // namespace swav::resnet
