// Element types of stored tensors. In: a C++ type, or a safetensors name. Out: the Dtype, its name and its size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace swav {

enum class Dtype { boolean, u8, i8, u16, i16, f16, bf16, u32, i32, f32, u64, i64, f64 };

/// The Dtype that a C++ type is stored as. Eigen's 16-bit types specialise this in backend/eigen/dtype.hpp.
template <class T>
struct DtypeOf;
template <>
struct DtypeOf<bool> {
  static constexpr Dtype value = Dtype::boolean;
};
template <>
struct DtypeOf<std::uint8_t> {
  static constexpr Dtype value = Dtype::u8;
};
template <>
struct DtypeOf<std::int8_t> {
  static constexpr Dtype value = Dtype::i8;
};
template <>
struct DtypeOf<std::uint16_t> {
  static constexpr Dtype value = Dtype::u16;
};
template <>
struct DtypeOf<std::int16_t> {
  static constexpr Dtype value = Dtype::i16;
};
template <>
struct DtypeOf<std::uint32_t> {
  static constexpr Dtype value = Dtype::u32;
};
template <>
struct DtypeOf<std::int32_t> {
  static constexpr Dtype value = Dtype::i32;
};
template <>
struct DtypeOf<float> {
  static constexpr Dtype value = Dtype::f32;
};
template <>
struct DtypeOf<std::uint64_t> {
  static constexpr Dtype value = Dtype::u64;
};
template <>
struct DtypeOf<std::int64_t> {
  static constexpr Dtype value = Dtype::i64;
};
template <>
struct DtypeOf<double> {
  static constexpr Dtype value = Dtype::f64;
};

namespace detail {

struct DtypeFacts {
  Dtype dtype;
  std::string_view name;
  std::size_t size;
};

inline constexpr DtypeFacts dtype_facts[] = {
    {Dtype::boolean, "BOOL", 1}, {Dtype::u8, "U8", 1},   {Dtype::i8, "I8", 1},     {Dtype::u16, "U16", 2},
    {Dtype::i16, "I16", 2},      {Dtype::f16, "F16", 2}, {Dtype::bf16, "BF16", 2}, {Dtype::u32, "U32", 4},
    {Dtype::i32, "I32", 4},      {Dtype::f32, "F32", 4}, {Dtype::u64, "U64", 8},   {Dtype::i64, "I64", 8},
    {Dtype::f64, "F64", 8}};

}  // namespace detail

/// The name in a safetensors header.
[[nodiscard]] constexpr std::string_view dtype_name(Dtype dtype) {
  return detail::dtype_facts[static_cast<std::size_t>(dtype)].name;
}

/// Bytes an element.
[[nodiscard]] constexpr std::size_t dtype_size(Dtype dtype) {
  return detail::dtype_facts[static_cast<std::size_t>(dtype)].size;
}

/// The Dtype of a name in a safetensors header, if it is one that can be stored here (the 8-bit and smaller floats and
/// the complex numbers are not).
[[nodiscard]] constexpr std::optional<Dtype> dtype_named(std::string_view name) {
  for (const detail::DtypeFacts& facts : detail::dtype_facts)
    if (facts.name == name) return facts.dtype;
  return std::nullopt;
}

}  // namespace swav
