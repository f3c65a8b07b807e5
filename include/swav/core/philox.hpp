// Counter-based random numbers, Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
// In: a 64-bit key and a 128-bit counter. Out: four 32-bit words that depend on nothing else, on any thread or device.
#pragma once

#include <cstdint>

namespace swav {

/// One Philox 4x32-10 block: out[0..3] from the counter under the key. Usable in device code.
struct Philox {
  std::uint32_t out[4];

  constexpr Philox(std::uint64_t key, std::uint64_t counter_low, std::uint64_t counter_high) : out{} {
    std::uint32_t x0 = static_cast<std::uint32_t>(counter_low);
    std::uint32_t x1 = static_cast<std::uint32_t>(counter_low >> 32);
    std::uint32_t x2 = static_cast<std::uint32_t>(counter_high);
    std::uint32_t x3 = static_cast<std::uint32_t>(counter_high >> 32);
    std::uint32_t k0 = static_cast<std::uint32_t>(key);
    std::uint32_t k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * x0;
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * x2;
      const std::uint32_t y0 = static_cast<std::uint32_t>(p1 >> 32) ^ x1 ^ k0;
      const std::uint32_t y2 = static_cast<std::uint32_t>(p0 >> 32) ^ x3 ^ k1;
      x1 = static_cast<std::uint32_t>(p1);
      x3 = static_cast<std::uint32_t>(p0);
      x0 = y0;
      x2 = y2;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
  }
};

/// A stream of numbers from consecutive Philox blocks: the counter's high half names the stream, the low half counts.
/// Copying it copies its position; two streams with different names never overlap.
class PhiloxStream {
 public:
  constexpr PhiloxStream(std::uint64_t key, std::uint64_t stream) : key_(key), stream_(stream) {}

  /// Uniform over all 32-bit words.
  constexpr std::uint32_t bits() {
    if (used_ == 4) {
      block_ = Philox(key_, counter_++, stream_);
      used_ = 0;
    }
    return block_.out[used_++];
  }

  /// Uniform in [0, 1): 53 random bits, so every value is exactly representable.
  constexpr double uniform() {
    const std::uint64_t high = bits() >> 5;
    const std::uint64_t low = bits() >> 6;
    return static_cast<double>((high << 26) | low) * (1.0 / 9007199254740992.0);
  }

  /// Uniform in [low, high).
  constexpr double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Uniform in {0, ..., count - 1}; count >= 1. The bias is below 2^-21 for any count under 2^32.
  constexpr std::uint64_t below(std::uint64_t count) {
    const auto drawn = static_cast<std::uint64_t>(uniform() * static_cast<double>(count));
    return drawn < count ? drawn : count - 1;
  }

 private:
  std::uint64_t key_;
  std::uint64_t stream_;
  std::uint64_t counter_ = 0;
  Philox block_{0, 0, 0};
  int used_ = 4;
};

}  // namespace swav
