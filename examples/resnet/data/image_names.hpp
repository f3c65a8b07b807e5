// Which files are taken for images. In: a name's extension. Out: yes or no.
#pragma once

#include <string>

namespace swav::resnet {

/// Of ASCII letters.
[[nodiscard]] inline std::string lower_case(std::string text) {
  for (char& letter : text)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  return text;
}

/// `extension`: with its dot, in lower case.
[[nodiscard]] inline bool is_image_extension(const std::string& extension) {
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

}  // namespace swav::resnet
