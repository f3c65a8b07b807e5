// CUDA's 16-bit types on the CPU. In: floats. Out: values rounded to the nearest even, as cuda_fp16.h's and
// cuda_bf16.h's constructors round them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace swav::emulation {

inline std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float float_of(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace swav::emulation

struct __half {
  std::uint16_t bits;

  __half() = default;
  explicit __half(float value) {
    const std::uint32_t sign = (swav::emulation::bits_of(value) >> 16) & 0x8000u;
    const float size = std::fabs(value);
    std::uint32_t found;
    if (!(size <= 65504.f)) {
      found = size != size ? 0x7FFFu : size < 65520.f ? 0x7BFFu : 0x7C00u;
    } else if (size < 6.103515625e-05f) {
      found = static_cast<std::uint32_t>(std::nearbyint(size * 16777216.f));  // multiples of 2^-24
    } else {
      const std::uint32_t exact = swav::emulation::bits_of(size) - (112u << 23);
      found = (exact + 0xFFFu + ((exact >> 13) & 1u)) >> 13;
    }
    bits = static_cast<std::uint16_t>(sign | found);
  }
  explicit __half(double value) : __half(static_cast<float>(value)) {}
  operator float() const {
    const std::uint32_t sign = (bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u, mantissa = bits & 0x3FFu;
    if (exponent == 31) return swav::emulation::float_of(sign | 0x7F800000u | (mantissa << 13));
    if (exponent == 0) {
      const float size = static_cast<float>(mantissa) / 16777216.f;
      return sign != 0 ? -size : size;
    }
    return swav::emulation::float_of(sign | ((exponent + 112u) << 23) | (mantissa << 13));
  }
};
