// Which way up a photograph is. In: EXIF data, pixels. Out: the orientation, pixels turned upright.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/image_decoder.hpp"

namespace swav::resnet {

/// EXIF's orientation, 1 (upright) to 8, from its TIFF structure (EXIF 2.3, 4.5); 1 where there is none, or none that
/// makes sense.
[[nodiscard]] int exif_orientation(std::span<const std::uint8_t> tiff);

/// Turns and mirrors an image as `orientation` (1 to 8) asks for. `scratch` is working memory.
void turn_upright(DecodedImage& image, int orientation, std::vector<std::uint8_t>& scratch);

}  // namespace swav::resnet
