// The pictures of the report. In: images, crops, prototypes. Out: HTML fragments with the pictures inside.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "report/prototypes.hpp"
#include "train/options.hpp"

namespace swav::resnet {

/// Some images, each with the views that the first epoch's training drew from it.
[[nodiscard]] std::string crop_gallery(const Dataset& data, const MultiCropSampler& crops, const TrainOptions& options);

/// `shown` prototypes from the most to the least used, each with its nearest training images. `images` has the number
/// of the image behind each that `uses` counts.
[[nodiscard]] std::string prototype_gallery(const Dataset& data, std::span<const Index> images,
                                            const std::vector<PrototypeUse>& uses, int shown);

}  // namespace swav::resnet
