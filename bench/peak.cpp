// What this CPU's cores do at best: multiply-adds between registers, on every thread. In: requests (line_protocol.hpp)
// for float_teraflop and bf16_teraflop. Out: the seconds of 10^12 floating-point operations, a NaN where the build's
// CPU has no bfloat16 dot products.
#include <limits>

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

constexpr double teraflop = 1e12;
constexpr int chains = 24;  // independent sums, to cover the latency

/// Calls body(repeats) on every thread, where each repeat makes `flops` operations, a teraflop in all.
template <class Body>
void on_every_thread(double flops, Body&& body) {
  const EigenDevice device;
  const auto repeats = static_cast<Index>(teraflop / flops / device.threads());
  device.for_shares(device.threads(), [&](int, Index, Index) { body(repeats); });
}

void float_teraflop() {
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
void bf16_teraflop() {
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
  std::map<std::string, bench::Case> cases;
  cases["float_teraflop"] = [] { return float_teraflop; };
#ifdef __AVX512BF16__
  cases["bf16_teraflop"] = [] { return bf16_teraflop; };
#endif
  return bench::serve(cases);
}
