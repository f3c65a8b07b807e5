// CUDA's __nv_bfloat16 on the CPU. In: floats. Out: values rounded to the nearest even.
#pragma once

#include "cuda_fp16.h"

struct __nv_bfloat16 {
  std::uint16_t bits;

  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float value) {
    const std::uint32_t exact = swav::emulation::bits_of(value);
    bits = static_cast<std::uint16_t>(value != value ? 0x7FFFu : (exact + 0x7FFFu + ((exact >> 16) & 1u)) >> 16);
  }
  explicit __nv_bfloat16(double value) : __nv_bfloat16(static_cast<float>(value)) {}
  operator float() const { return swav::emulation::float_of(static_cast<std::uint32_t>(bits) << 16); }
};
