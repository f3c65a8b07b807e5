// The strict JSON that a safetensors header needs: objects, strings, whole numbers, arrays. In: text. Out: its tokens
// one after another, or a FileError that names the byte.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "swav/io/file_error.hpp"

namespace swav::detail {

/// Whether `text` is well-formed UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF).
[[nodiscard]] inline bool valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xC2 && lead < 0xE0 ? 2
                               : (lead & 0xF0) == 0xE0       ? 3
                               : lead >= 0xF0 && lead < 0xF5 ? 4
                                                             : 0;
    if (length == 0 || length > text.size() - i) return false;
    for (std::size_t k = 1; k < length; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return false;
    const unsigned second = length > 1 ? static_cast<unsigned char>(text[i + 1]) : 0;
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second >= 0xA0) || (lead == 0xF0 && second < 0x90) ||
        (lead == 0xF4 && second >= 0x90))
      return false;
    i += length;
  }
  return true;
}

/// Reads one token at a time; each function throws FileError where the text is something else. Memory used is the
/// text's own size at most, and nothing recurses.
class JsonReader {
 public:
  JsonReader(std::string_view text, std::string path) : text_(text), path_(std::move(path)) {
    if (!valid_utf8(text_)) fail("is not UTF-8");
  }

  void expect(char wanted) {
    if (!accept(wanted)) fail(std::string("'") + wanted + "' wanted");
  }

  /// Takes the next character, white space aside, if it is `wanted`.
  bool accept(char wanted) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  [[nodiscard]] std::string string() {
    expect('"');
    std::string result;
    for (;;) {
      const char c = take();
      if (c == '"') return result;
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character inside a string");
      if (c == '\\')
        escape(result);
      else
        result += c;
    }
  }

  /// A whole number that is 0 or more, without fraction or exponent, at most 2^63 - 1.
  [[nodiscard]] std::int64_t whole_number() {
    skip_space();
    const std::size_t start = at_;
    std::int64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      const std::int64_t digit = text_[at_++] - '0';
      if (value > (std::numeric_limits<std::int64_t>::max() - digit) / 10) fail("a number is too large");
      value = value * 10 + digit;
    }
    if (at_ == start) fail("a whole number wanted");
    if (text_[start] == '0' && at_ - start > 1) fail("a number starts with 0");
    return value;
  }

  /// Nothing but white space may be left.
  void expect_end() {
    skip_space();
    if (at_ != text_.size()) fail("something follows the object");
  }

  [[noreturn]] void fail(const std::string& problem) const {
    throw FileError(path_, "header, byte " + std::to_string(at_) + ": " + problem);
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
      ++at_;
  }

  char take() {
    if (at_ == text_.size()) fail("ends inside a string");
    return text_[at_++];
  }

  void escape(std::string& result) {
    switch (const char c = take()) {
      case '"':
      case '\\':
      case '/':
        result += c;
        return;
      case 'b':
        result += '\b';
        return;
      case 'f':
        result += '\f';
        return;
      case 'n':
        result += '\n';
        return;
      case 'r':
        result += '\r';
        return;
      case 't':
        result += '\t';
        return;
      case 'u':
        append_utf8(code_point(), result);
        return;
      default:
        fail("an unknown escape");
    }
  }

  std::uint32_t code_point() {
    const std::uint32_t first = four_digits();
    if (first < 0xD800 || first > 0xDFFF) return first;
    if (first > 0xDBFF || take() != '\\' || take() != 'u') fail("half a surrogate pair");
    const std::uint32_t second = four_digits();
    if (second < 0xDC00 || second > 0xDFFF) fail("half a surrogate pair");
    return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
  }

  std::uint32_t four_digits() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = take();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) fail("four hexadecimal digits wanted");
      value = value * 16 + static_cast<std::uint32_t>(digit);
    }
    return value;
  }

  static void append_utf8(std::uint32_t point, std::string& result) {
    const auto trail = [&](int shift) { result += static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
    if (point < 0x80) {
      result += static_cast<char>(point);
    } else if (point < 0x800) {
      result += static_cast<char>(0xC0 | (point >> 6));
      trail(0);
    } else if (point < 0x10000) {
      result += static_cast<char>(0xE0 | (point >> 12));
      trail(6), trail(0);
    } else {
      result += static_cast<char>(0xF0 | (point >> 18));
      trail(12), trail(6), trail(0);
    }
  }

  std::string_view text_;
  std::string path_;
  std::size_t at_ = 0;
};

/// `text` as a JSON string, quotes included. `text` is UTF-8.
[[nodiscard]] inline std::string json_string(std::string_view text) {
  constexpr char digits[] = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      result += "\\u00";
      result += digits[c >> 4];
      result += digits[c & 15];
    } else {
      result += c;
    }
  }
  return result + '"';
}

}  // namespace swav::detail
