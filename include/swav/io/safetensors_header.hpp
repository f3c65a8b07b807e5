// The JSON header of a safetensors file. In: its text and the length of the data behind it. Out: checked places of the
// tensors in the data; and the other way round.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "swav/core/matrix_view.hpp"
#include "swav/io/dtype.hpp"
#include "swav/io/json_reader.hpp"

namespace swav::detail {

/// A tensor's bytes are [begin, end) of the data.
struct TensorPlace {
  std::string name;
  Dtype dtype = Dtype::u8;
  std::vector<Index> shape = {};
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<TensorPlace> places;
  std::map<std::string, std::string> metadata;
};

/// Bytes of a tensor of this shape, or nothing if their number does not fit 63 bits.
[[nodiscard]] inline std::optional<std::uint64_t> tensor_bytes(Dtype dtype, const std::vector<Index>& shape) {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::uint64_t count = dtype_size(dtype);
  for (const Index extent : shape) {
    const auto factor = static_cast<std::uint64_t>(extent);
    if (factor != 0 && count > most / factor) return std::nullopt;
    count *= factor;
  }
  return count;
}

[[nodiscard]] inline std::vector<Index> read_whole_numbers(JsonReader& json) {
  std::vector<Index> numbers;
  json.expect('[');
  if (json.accept(']')) return numbers;
  do {
    numbers.push_back(json.whole_number());
  } while (json.accept(','));
  json.expect(']');
  return numbers;
}

[[nodiscard]] inline std::map<std::string, std::string> read_metadata(JsonReader& json) {
  std::map<std::string, std::string> metadata;
  json.expect('{');
  if (json.accept('}')) return metadata;
  do {
    std::string key = json.string();
    json.expect(':');
    if (!metadata.emplace(std::move(key), json.string()).second) json.fail("a metadata key stands twice");
  } while (json.accept(','));
  json.expect('}');
  return metadata;
}

/// One tensor's object: dtype, shape and data_offsets, each once, in any order, and nothing else.
[[nodiscard]] inline TensorPlace read_place(JsonReader& json, std::string name) {
  TensorPlace place{.name = std::move(name)};
  bool dtype = false, shape = false, offsets = false;
  const auto once = [&](bool& seen) {
    if (std::exchange(seen, true)) json.fail("a tensor's field stands twice");
  };
  json.expect('{');
  do {
    const std::string field = json.string();
    json.expect(':');
    if (field == "dtype") {
      once(dtype);
      const std::string wanted = json.string();
      const std::optional<Dtype> found = dtype_named(wanted);
      if (!found) json.fail("the dtype '" + wanted + "' of '" + place.name + "' is not one that is read here");
      place.dtype = *found;
    } else if (field == "shape") {
      once(shape);
      place.shape = read_whole_numbers(json);
    } else if (field == "data_offsets") {
      once(offsets);
      const std::vector<Index> numbers = read_whole_numbers(json);
      if (numbers.size() != 2) json.fail("data_offsets of '" + place.name + "' wants two numbers");
      place.begin = static_cast<std::uint64_t>(numbers[0]);
      place.end = static_cast<std::uint64_t>(numbers[1]);
    } else {
      json.fail("the unknown field '" + field + "' of '" + place.name + "'");
    }
  } while (json.accept(','));
  json.expect('}');
  if (!dtype || !shape || !offsets) json.fail("'" + place.name + "' lacks dtype, shape or data_offsets");
  return place;
}

/// Each tensor has the bytes that its shape needs, and together they cover the data once, without gap or overlap. Sorts
/// the places by their offset.
inline void check_places(std::vector<TensorPlace>& places, std::uint64_t data_length, const JsonReader& json) {
  std::sort(places.begin(), places.end(), [](const TensorPlace& a, const TensorPlace& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t at = 0;
  for (const TensorPlace& place : places) {
    const std::string who = "'" + place.name + "'";
    if (place.begin > place.end || place.end > data_length)
      json.fail("data_offsets of " + who + " lie outside the " + std::to_string(data_length) + " bytes of data");
    if (tensor_bytes(place.dtype, place.shape) != place.end - place.begin)
      json.fail("data_offsets of " + who + " do not hold what its shape needs");
    if (place.begin != at) json.fail("a gap or an overlap in the data before " + who);
    at = place.end;
  }
  if (at != data_length) json.fail(std::to_string(data_length - at) + " bytes of data belong to no tensor");
}

[[nodiscard]] inline SafetensorsHeader parse_header(std::string_view text, std::uint64_t data_length,
                                                    const std::string& path) {
  JsonReader json(text, path);
  SafetensorsHeader header;
  std::unordered_set<std::string> names;
  if (!text.starts_with('{')) json.fail("'{' wanted");
  json.expect('{');
  if (!json.accept('}')) {
    do {
      std::string name = json.string();
      json.expect(':');
      if (!names.insert(name).second) json.fail("the name '" + name + "' stands twice");
      if (name == "__metadata__")
        header.metadata = read_metadata(json);
      else
        header.places.push_back(read_place(json, std::move(name)));
    } while (json.accept(','));
    json.expect('}');
  }
  json.expect_end();
  check_places(header.places, data_length, json);
  return header;
}

/// The header's text, padded with spaces so that the data behind it starts at a multiple of 8 bytes.
[[nodiscard]] inline std::string format_header(const SafetensorsHeader& header) {
  std::string text = "{";
  if (!header.metadata.empty()) {
    text += "\"__metadata__\":";
    char before = '{';
    for (const auto& [key, value] : header.metadata) {
      text += std::exchange(before, ',');
      text += json_string(key) + ":" + json_string(value);
    }
    text += "}";
  }
  for (const TensorPlace& place : header.places) {
    if (text.size() > 1) text += ',';
    text += json_string(place.name) + ":{\"dtype\":\"" + std::string(dtype_name(place.dtype)) + "\",\"shape\":[";
    for (std::size_t i = 0; i < place.shape.size(); ++i) {
      if (i > 0) text += ',';
      text += std::to_string(place.shape[i]);
    }
    text += "],\"data_offsets\":[" + std::to_string(place.begin) + "," + std::to_string(place.end) + "]}";
  }
  text += "}";
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace swav::detail
