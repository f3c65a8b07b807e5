// The tar formats: POSIX.1-2001 (ustar, pax) and GNU's long names and base-256 numbers.
#include "data/tar_shard.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "data/image_names.hpp"
#include "swav/core/error.hpp"
#include "swav/io/file_descriptor.hpp"
#include "swav/io/file_error.hpp"

namespace swav::resnet {
namespace {

constexpr std::uint64_t block = 512;
using Block = std::array<char, block>;

std::string_view field(const Block& header, std::size_t first, std::size_t size) {
  const std::string_view whole(header.data() + first, size);
  return whole.substr(0, whole.find('\0'));
}

struct Member {
  std::string name = {};
  char type = 0;
  std::uint64_t offset = 0;  // of its content
  std::uint64_t size = 0;
};

class TarReader {
 public:
  explicit TarReader(const std::string& path) : path_(path), file_(path, O_RDONLY), length_(file_.length()) {}

  /// The next member that is no header of others; none at the end.
  std::optional<Member> next() {
    std::string long_name;
    std::optional<std::uint64_t> long_size;
    Block header;
    while (read_header(header)) {
      Member member{.type = header[156], .offset = position_, .size = number(header, 124, 12)};
      if (long_size && std::string_view("LKxg").find(member.type) == std::string_view::npos) member.size = *long_size;
      if (member.size > length_ - position_)
        fail("truncated: the member at byte ", member.offset - block, " has ", member.size, " bytes, ",
             length_ - position_, " are there");
      position_ = std::min(length_, position_ + (member.size + block - 1) / block * block);
      if (member.type == 'L') {
        long_name = content(member, longest_text);
        long_name.resize(std::min(long_name.size(), long_name.find('\0')));
      } else if (member.type == 'x') {
        read_extensions(content(member, longest_text), long_name, long_size);
      } else if (member.type == 'K' || member.type == 'g') {
        continue;  // a link's long target; what holds for all members
      } else if (member.type == 'S') {
        fail("the member at byte ", member.offset - block, " is sparse, a whole file wanted");
      } else {
        member.name = long_name.empty() ? short_name(header) : long_name;
        return member;
      }
    }
    return {};
  }

  std::string content(const Member& member, std::uint64_t most) {
    if (member.size > most)
      fail("the member at byte ", member.offset - block, " has ", member.size, " bytes, ", most, " or fewer wanted");
    std::string text(static_cast<std::size_t>(member.size), '\0');
    file_.seek(member.offset);
    file_.read(std::as_writable_bytes(std::span(text)));
    return text;
  }

  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    throw FileError(path_, detail::concatenate(parts...));
  }

 private:
  static constexpr std::uint64_t longest_text = 1u << 20;  // of a name or an extended header

  // False at the end: a block of zeros, or the file's.
  bool read_header(Block& header) {
    if (position_ == length_) {
      if (length_ == 0) fail("empty, a tar file wanted");
      return false;
    }
    if (length_ - position_ < block) fail("truncated: ", length_ - position_, " bytes of a member's header are there");
    file_.seek(position_);
    file_.read(std::as_writable_bytes(std::span(header)));
    if (std::ranges::all_of(header, [](char c) { return c == '\0'; })) return false;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < header.size(); ++i)
      sum += i >= 148 && i < 156 ? std::uint8_t{' '} : static_cast<std::uint8_t>(header[i]);
    if (sum != number(header, 148, 8)) fail("no tar file, or damaged: the header at byte ", position_, " is none");
    position_ += block;
    return true;
  }

  // Octal digits, or big-endian bytes after a first one of 128 (GNU).
  std::uint64_t number(const Block& header, std::size_t first, std::size_t size) const {
    const std::string_view bytes(header.data() + first, size);
    std::uint64_t value = 0;
    if (static_cast<std::uint8_t>(bytes[0]) == 128) {
      for (std::size_t i = 1; i < size; ++i) {
        if (value >> 56 != 0) fail("damaged: a size in the header at byte ", position_, " is beyond 64 bits");
        value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
      }
      return value;
    }
    const std::size_t begin = std::min(bytes.find_first_not_of(' '), size);
    const char* const end = bytes.data() + size;
    const auto [rest, error] = std::from_chars(bytes.data() + begin, end, value, 8);
    const bool is_whole = rest == end || *rest == ' ' || *rest == '\0';
    if (error == std::errc::result_out_of_range || !is_whole)
      fail("no tar file, or damaged: the header at byte ", position_, " holds a number that is none");
    return value;
  }

  static std::string short_name(const Block& header) {
    const std::string name(field(header, 0, 100));
    const std::string_view prefix = field(header, 345, 155);
    const bool is_ustar = std::string_view(header.data() + 257, 6) == std::string_view("ustar\0", 6);
    return is_ustar && !prefix.empty() ? std::string(prefix) + '/' + name : name;
  }

  // Records "LENGTH KEY=VALUE\n", LENGTH counting all of it.
  void read_extensions(std::string_view text, std::string& name, std::optional<std::uint64_t>& size) const {
    while (!text.empty()) {
      std::size_t length = 0;
      const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), length);
      const auto digits = static_cast<std::size_t>(rest - text.data());
      const std::size_t equals = text.substr(0, length).find('=');
      if (error != std::errc() || length > text.size() || length < digits + 2 || text[digits] != ' ' ||
          text[length - 1] != '\n' || equals == std::string_view::npos || equals <= digits)
        fail("damaged: the extended header before byte ", position_, " holds no records");
      const std::string_view key = text.substr(digits + 1, equals - digits - 1);
      const std::string_view value = text.substr(equals + 1, length - equals - 2);
      if (key.starts_with("GNU.sparse")) fail("the member at byte ", position_, " is sparse, a whole file wanted");
      if (key == "path") name = value;
      if (key == "size") {
        std::uint64_t bytes = 0;
        const auto [end, bad] = std::from_chars(value.data(), value.data() + value.size(), bytes);
        if (bad != std::errc() || end != value.data() + value.size())
          fail("damaged: the extended header before byte ", position_, " holds a size that is none");
        size = bytes;
      }
      text.remove_prefix(length);
    }
  }

  std::string path_;
  detail::FileDescriptor file_;
  std::uint64_t length_;
  std::uint64_t position_ = 0;
};

// Whether the member or a folder that it is in begins with a dot, as in ".cache/a.jpg" and not in "./a.jpg".
bool is_hidden(std::string_view name) {
  while (!name.empty()) {
    const std::string_view part = name.substr(0, name.find('/'));
    if (part.starts_with('.') && part != "." && part != "..") return true;
    name.remove_prefix(std::min(part.size() + 1, name.size()));
  }
  return false;
}

int class_of(TarReader& tar, const Member& member) {
  constexpr int most = 999'999;
  const std::string text = tar.content(member, 64);
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  int label = -1;
  const auto [end, error] = std::from_chars(text.data() + begin, text.data() + text.size(), label);
  const auto rest = static_cast<std::size_t>(end - text.data());
  if (error != std::errc() || label < 0 || label > most || text.find_first_not_of(" \t\r\n", rest) != std::string::npos)
    tar.fail(member.name, ": no class found, an integer from 0 to ", most, " wanted");
  return label;
}

// What is known of the members that share a key.
struct Sample {
  std::string key;
  std::optional<Member> image;
  std::optional<int> label;
};

}  // namespace

void index_tar_shard(const std::string& path, StoredFiles& files, std::vector<int>& labels) {
  TarReader tar(path);
  files.add_shard(path);
  Sample sample;
  const auto finish = [&] {
    if (sample.image) {
      const bool all_have = labels.size() == static_cast<std::size_t>(files.count());
      if (sample.label ? !all_have : !labels.empty())
        tar.fail(sample.image->name, sample.label ? ": a class found, none wanted, as with the samples before"
                                                  : ": no class found, one wanted, as with the samples before");
      files.add_member(sample.image->name, sample.image->offset, sample.image->size);
      if (sample.label) labels.push_back(*sample.label);
    }
    sample = {};
  };
  while (std::optional<Member> member = tar.next()) {
    const bool is_file = member->type == '0' || member->type == '\0' || member->type == '7';
    const bool is_link = member->type == '1' || member->type == '2';
    const std::size_t base = member->name.rfind('/') + 1;
    if (!(is_file || is_link) || member->name.size() == base || is_hidden(member->name)) continue;
    const std::size_t dot = std::min(member->name.find('.', base), member->name.size());
    const std::string extension = lower_case(member->name.substr(dot));
    if (is_link && (extension == ".cls" || is_image_extension(extension)))
      tar.fail(member->name, ": a link found, a file wanted (tar --dereference --hard-dereference)");
    if (const std::string key = member->name.substr(0, dot); key != sample.key) {
      finish();
      sample.key = key;
    }
    if (extension == ".cls") {
      sample.label = class_of(tar, *member);
    } else if (is_image_extension(extension)) {
      if (sample.image) tar.fail(member->name, ": a second image of one sample found, one wanted");
      sample.image = std::move(member);
    }
  }
  finish();
}

}  // namespace swav::resnet
