// What a GPU has instructions for, to 22 bits, in float; the functions themselves in double. In: numbers whose results
// are normal numbers. Out: powers and logarithms of 2, reciprocals.
#pragma once

#include <cuda_runtime.h>

#include <cmath>

namespace swav::detail {

/// 2^x, to 2^-22 of it; 0 where that is no normal number.
__device__ inline float power_of_2(float x) {
#ifdef __CUDA_ARCH__
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#else
  return std::exp2(x);
#endif
}
__device__ inline double power_of_2(double x) { return std::exp2(x); }

/// log2(x), to 2^-22, of a normal number.
__device__ inline float logarithm_of_2(float x) {
#ifdef __CUDA_ARCH__
  float logarithm;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(logarithm) : "f"(x));
  return logarithm;
#else
  return std::log2(x);
#endif
}
__device__ inline double logarithm_of_2(double x) { return std::log2(x); }

/// 1/x, to 2^-22, of a number whose reciprocal is a normal one, too.
__device__ inline float reciprocal(float x) {
#ifdef __CUDA_ARCH__
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return 1.f / x;
#endif
}
__device__ inline double reciprocal(double x) { return 1 / x; }

}  // namespace swav::detail
