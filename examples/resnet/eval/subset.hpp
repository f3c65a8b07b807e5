// Some of the labels. In: a label an image, a share. Out: images of which each class has its share.
#pragma once

#include <cstdint>
#include <vector>

#include "swav/core/matrix_view.hpp"

namespace swav::resnet {

/// The numbers of the images whose labels are known, ascending: of each class the rounded share of its images, at least
/// 1, drawn anew for each seed; a larger share contains what a smaller one does. Throws InvalidInput unless 0 < share
/// <= 1 and labels are 0 or more.
[[nodiscard]] std::vector<Index> balanced_subset(VectorView<const int> labels, double share, std::uint64_t seed);

}  // namespace swav::resnet
