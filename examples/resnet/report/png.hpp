// Pictures for a page. In: uint8 pixels. Out: a PNG as a data URI.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "swav/core/matrix_view.hpp"

namespace swav::resnet {

/// An interleaved picture of 1 (grey) or 3 (RGB) channels.
struct Picture {
  Index height = 0;
  Index width = 0;
  Index channels = 1;
  std::vector<std::uint8_t> pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * channels));
};

/// "data:image/png;base64,...". Throws std::runtime_error when libpng cannot encode it.
[[nodiscard]] std::string png_data_uri(const Picture& picture);

}  // namespace swav::resnet
