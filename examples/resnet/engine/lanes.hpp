// Small fixed-width vectors for the passes over activations. In: float or bfloat16 in memory. Out: float vectors of L
// lanes, by the vector extension that g++ and clang share, so the compiler picks the instructions of any CPU.
// Vectors go by reference only: by value their calling convention would depend on the instruction set.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace swav::resnet {

/// bfloat16 as stored: the upper half of a float.
struct Bfloat16 {
  std::uint16_t bits;
};

/// The vector types, spelt out: g++ 12 drops the attribute where the size depends on a template parameter.
template <int L>
struct VectorTypes;
template <>
struct VectorTypes<16> {
  typedef float Float __attribute__((vector_size(64)));
  typedef std::uint32_t Word __attribute__((vector_size(64)));
  typedef std::uint16_t Half __attribute__((vector_size(32)));
};
template <>
struct VectorTypes<8> {
  typedef float Float __attribute__((vector_size(32)));
  typedef std::uint32_t Word __attribute__((vector_size(32)));
  typedef std::uint16_t Half __attribute__((vector_size(16)));
};
template <>
struct VectorTypes<1> {
  typedef float Float __attribute__((vector_size(4)));
  typedef std::uint32_t Word __attribute__((vector_size(4)));
  typedef std::uint16_t Half __attribute__((vector_size(2)));
};

template <int L>
struct Lanes {
  using Float = typename VectorTypes<L>::Float;
  using Word = typename VectorTypes<L>::Word;
  using Half = typename VectorTypes<L>::Half;

  static void load(const float* from, Float& to) { std::memcpy(&to, from, sizeof to); }

  static void load(const Bfloat16* from, Float& to) {
    Half half;
    std::memcpy(&half, from, sizeof half);
    const Word word = __builtin_convertvector(half, Word) << 16;
    to = (Float)word;
  }

  static void store(const Float& from, float* to) { std::memcpy(to, &from, sizeof from); }

  /// Rounds to nearest, ties to even, as oneDNN and PyTorch do.
  static void store(const Float& from, Bfloat16* to) {
#ifdef __AVX512BF16__
    if constexpr (L == 16) {
      const __m256bh rounded = _mm512_cvtneps_pbh(from);
      std::memcpy(to, &rounded, sizeof rounded);
      return;
    }
#endif
    Word word = (Word)from;
    word += 0x7FFFu + ((word >> 16) & 1u);
    const Half half = __builtin_convertvector(word >> 16, Half);
    std::memcpy(to, &half, sizeof half);
  }

  /// value where gate > 0, else 0.
  static void keep_where_positive(const Float& gate, Float& value) {
    const Float zero{};
    value = (Float)((Word)value & (Word)(gate > zero));
  }
};

}  // namespace swav::resnet
