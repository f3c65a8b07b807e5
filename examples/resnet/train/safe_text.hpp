// Text that may hold names of files, which are any bytes. In: such text. Out: what JSON, a terminal and a
// shell can take.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace swav::resnet {

/// The value on one line; bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string json_text(const nlohmann::json& value);

/// Whether json_text() keeps the text as it is.
[[nodiscard]] bool is_utf8(const std::string& text);

/// On one line: line ends become spaces and other control characters, which could change the terminal, "?".
[[nodiscard]] std::string printable(const std::string& text);

/// As a word that a POSIX shell reads back as the text.
[[nodiscard]] std::string shell_word(const std::string& text);

}  // namespace swav::resnet
