// What this CPU's cores do at best: multiply-adds between registers, on every thread. In: requests (line_protocol.hpp)
// for float and bf16, which is float where the CPU has no dot products of bfloat16. Out: the seconds of 10^11
// floating-point operations.
#ifdef __AVX512BF16__
#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 takes its own _mm512_undefined_* for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

#include "line_protocol.hpp"
#include "swav/backend/eigen/device.hpp"

namespace {

using namespace swav;

constexpr double operations = 1e11;
constexpr int chains = 24;  // independent sums, to cover the latency

/// Calls body(repeats) on every thread, where each repeat makes `flops` operations, `operations` in all.
template <class Body>
void on_every_thread(double flops, Body&& body) {
  const EigenDevice device;
  const auto repeats = static_cast<Index>(operations / flops / device.threads());
  device.for_shares(device.threads(), [&](int, Index, Index) { body(repeats); });
}

void multiply_floats() {
  constexpr int lanes = EIGEN_MAX_STATIC_ALIGN_BYTES / sizeof(float);
  using Vector = Eigen::internal::find_best_packet<float, lanes>::type;
  constexpr int width = Eigen::internal::unpacket_traits<Vector>::size;
  on_every_thread(2.0 * chains * width, [](Index repeats) {
    Vector sums[chains];
    for (Vector& sum : sums) sum = Eigen::internal::pset1<Vector>(0.0f);
    Vector x = Eigen::internal::pset1<Vector>(0.5f);
    for (Index i = 0; i < repeats; ++i) {
      asm volatile("" : "+v"(x));  // not a constant to the compiler
#pragma GCC unroll 24
      for (Vector& sum : sums) sum = Eigen::internal::pmadd(x, x, sum);
    }
#pragma GCC unroll 24
    for (Vector& sum : sums) asm volatile("" : : "v"(sum));
  });
}

#ifdef __AVX512BF16__
void multiply_bf16() {
  on_every_thread(2.0 * chains * 32, [](Index repeats) {
    __m512 sums[chains];
    for (__m512& sum : sums) sum = _mm512_setzero_ps();
    __m512i x = _mm512_set1_epi32(0x3f003f00);
    for (Index i = 0; i < repeats; ++i) {
      asm volatile("" : "+v"(x));
#pragma GCC unroll 24
      for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)x);
    }
#pragma GCC unroll 24
    for (__m512& sum : sums) asm volatile("" : : "v"(sum));
  });
}
#endif

}  // namespace

int main() {
#ifdef __AVX512BF16__
  const auto bf16 = multiply_bf16;
#else
  const auto bf16 = multiply_floats;
#endif
  return bench::serve({{"float", [] { return multiply_floats; }}, {"bf16", [=] { return bf16; }}});
}
