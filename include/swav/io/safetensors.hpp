// Reads and writes safetensors files, which PyTorch, NumPy and JAX load with one line. In: a path, named tensors. Out:
// checked views of a file's tensors; a file that is replaced as a whole.
//
// The format: 8 bytes little-endian length of the header, the header (JSON), the tensors' bytes, row-major.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/io/atomic_file.hpp"
#include "swav/io/safetensors_header.hpp"

namespace swav {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian, and read without conversion");

/// A named tensor in somebody else's memory: row-major, shape empty for a single number.
struct StoredTensor {
  std::string name;
  Dtype dtype = Dtype::u8;
  std::vector<Index> shape = {};
  std::span<const std::byte> bytes = {};
};

/// `values` under a name, to be written. Copies nothing but the name and the shape.
template <class T>
[[nodiscard]] StoredTensor stored_tensor(std::string name, std::vector<Index> shape, VectorView<const T> values) {
  return {std::move(name), DtypeOf<T>::value, std::move(shape),
          std::as_bytes(std::span(values.data, static_cast<std::size_t>(values.size)))};
}

/// Writes the tensors and the metadata to `path`: to a temporary beside it first, flushed, then renamed, so that a kill
/// at any moment leaves either the old file or the new one. Tensors of wide elements come first, so that each is
/// aligned. Throws InvalidInput, before anything is written, on names or metadata that are not UTF-8, on a name that
/// stands twice or is "__metadata__", and on bytes that do not match the shape; FileError where the system refuses.
inline void write_safetensors(const std::string& path, std::span<const StoredTensor> tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  std::unordered_set<std::string_view> names;
  std::vector<const StoredTensor*> order;
  for (const StoredTensor& tensor : tensors) {
    detail::require(detail::valid_utf8(tensor.name), "tensors: a name that is not UTF-8 found, UTF-8 wanted");
    detail::require(tensor.name != "__metadata__" && names.insert(tensor.name).second, "tensors: the name '",
                    tensor.name, "' found twice or reserved, distinct names wanted");
    detail::require(std::all_of(tensor.shape.begin(), tensor.shape.end(), [](Index extent) { return extent >= 0; }),
                    "tensors: '", tensor.name, "' has a negative extent, 0 or more wanted");
    const std::optional<std::uint64_t> wanted = detail::tensor_bytes(tensor.dtype, tensor.shape);
    detail::require(wanted == tensor.bytes.size(), "tensors: '", tensor.name, "' has ", tensor.bytes.size(),
                    " bytes, its shape's ", wanted.value_or(0), " wanted");
    order.push_back(&tensor);
  }
  for (const auto& [key, value] : metadata)
    detail::require(detail::valid_utf8(key) && detail::valid_utf8(value),
                    "metadata: text that is not UTF-8 found, UTF-8 wanted");
  std::stable_sort(order.begin(), order.end(), [](const StoredTensor* a, const StoredTensor* b) {
    return dtype_size(a->dtype) > dtype_size(b->dtype);
  });

  detail::SafetensorsHeader header{{}, metadata};
  std::uint64_t at = 0;
  for (const StoredTensor* tensor : order) {
    header.places.push_back({tensor->name, tensor->dtype, tensor->shape, at, at + tensor->bytes.size()});
    at += tensor->bytes.size();
  }
  const std::string text = detail::format_header(header);
  const auto length = std::bit_cast<std::array<std::byte, 8>>(static_cast<std::uint64_t>(text.size()));
  std::vector<std::span<const std::byte>> parts{length, std::as_bytes(std::span(text))};
  for (const StoredTensor* tensor : order) parts.push_back(tensor->bytes);
  write_file_atomically(path, parts);
}

/// A safetensors file in memory. What the header claims is checked against the file's length before the tensors are
/// read, so memory use is the file's size at most.
class SafetensorsFile {
 public:
  /// Reads the whole file. Throws FileError if it is missing, truncated, oversized or malformed in any way: header
  /// longer than the file or than 100 MB, JSON that is not strict, unknown or repeated fields, repeated names, shapes
  /// that overflow or disagree with their bytes, bytes that overlap or that no tensor owns.
  explicit SafetensorsFile(const std::string& path) : path_(path) {
    detail::FileDescriptor file(path, O_RDONLY);
    const std::uint64_t file_length = file.length();
    std::array<std::byte, 8> prefix{};
    if (file_length < prefix.size()) throw FileError(path, "too short for a safetensors file");
    file.read(prefix);
    const auto header_length = std::bit_cast<std::uint64_t>(prefix);
    if (header_length > longest_header || header_length > file_length - prefix.size())
      throw FileError(path, "not a safetensors file, or truncated: it claims a header of " +
                                std::to_string(header_length) + " bytes");
    std::string text(header_length, '\0');
    file.read(std::as_writable_bytes(std::span(text)));
    const std::uint64_t data_length = file_length - prefix.size() - header_length;
    detail::SafetensorsHeader header = detail::parse_header(text, data_length, path);

    storage_ = std::make_unique_for_overwrite<std::byte[]>(data_length);
    file.read({storage_.get(), data_length});
    metadata_ = std::move(header.metadata);
    for (detail::TensorPlace& place : header.places) {
      index_.emplace(place.name, tensors_.size());
      tensors_.push_back({std::move(place.name),
                          place.dtype,
                          std::move(place.shape),
                          {storage_.get() + place.begin, place.end - place.begin}});
    }
  }

  /// In the order of the data.
  [[nodiscard]] std::span<const StoredTensor> tensors() const { return tensors_; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
  [[nodiscard]] bool contains(const std::string& name) const { return index_.contains(name); }

  /// The tensor of that name; its bytes live as long as this object. Throws FileError if there is none.
  [[nodiscard]] const StoredTensor& at(const std::string& name) const {
    const auto found = index_.find(name);
    if (found == index_.end()) throw FileError(path_, "has no tensor '" + name + "'");
    return tensors_[found->second];
  }

  /// Copies a tensor's elements to `out`. Throws FileError, with `out` unchanged, if there is no such tensor, or its
  /// type or number of elements is another.
  template <class T>
  void read(const std::string& name, VectorView<T> out) const {
    const StoredTensor& tensor = at(name);
    if (tensor.dtype != DtypeOf<T>::value)
      throw FileError(path_, "tensor '" + name + "' is " + std::string(dtype_name(tensor.dtype)) + ", " +
                                 std::string(dtype_name(DtypeOf<T>::value)) + " wanted");
    if (tensor.bytes.size() != static_cast<std::size_t>(out.size) * sizeof(T))
      throw FileError(path_, "tensor '" + name + "' has " + std::to_string(tensor.bytes.size() / sizeof(T)) +
                                 " elements, " + std::to_string(out.size) + " wanted");
    if (!tensor.bytes.empty()) std::memcpy(static_cast<void*>(out.data), tensor.bytes.data(), tensor.bytes.size());
  }

  /// The metadata text under that key. Throws FileError if there is none.
  [[nodiscard]] const std::string& metadata(const std::string& key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) throw FileError(path_, "has no metadata '" + key + "'");
    return found->second;
  }

 private:
  static constexpr std::uint64_t longest_header = 100'000'000;

  std::string path_;
  std::unique_ptr<std::byte[]> storage_;
  std::vector<StoredTensor> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace swav
