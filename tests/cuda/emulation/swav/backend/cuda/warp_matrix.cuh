// The backend's warp_matrix.cuh on the CPU: the same functions, by what that header says of them. The last thread of a
// warp to come does the work of all; copies are made when they are waited for, so that who forgets to reads what was
// there before.
#pragma once

#include <cstring>
#include <map>
#include <vector>

#include "cuda_fp16.h"
#include "cuda_runtime.h"

namespace swav::detail {

inline void load_matrices(const void* row, unsigned (&words)[4]) {
  struct Part {
    const void* row;
    unsigned* words;
  } part{row, words};
  emulation::Block::of_this_thread().together(part, [](Part* const* lanes) {
    for (int lane = 0; lane < emulation::warp_size; ++lane)
      for (int m = 0; m < 4; ++m)
        std::memcpy(&lanes[lane]->words[m], static_cast<const char*>(lanes[8 * m + lane / 4]->row) + 4 * (lane % 4),
                    sizeof(unsigned));
  });
}

inline void multiply_add(float (&sums)[4], const unsigned (&a)[4], unsigned b_first, unsigned b_second) {
  struct Part {
    float* sums;
    const unsigned* a;
    unsigned b[2];
  } part{sums, a, {b_first, b_second}};
  emulation::Block::of_this_thread().together(part, [](Part* const* lanes) {
    const auto half_of = [](unsigned word, int at) {
      __half half;
      half.bits = static_cast<std::uint16_t>(word >> (16 * at));
      return static_cast<float>(half);
    };
    float a_rows[16][16], b_columns[8][16];
    for (int lane = 0; lane < emulation::warp_size; ++lane)
      for (int at = 0; at < 2; ++at) {
        const int g = lane / 4, i = 2 * (lane % 4) + at;
        for (int m = 0; m < 4; ++m) a_rows[g + 8 * (m % 2)][i + 8 * (m / 2)] = half_of(lanes[lane]->a[m], at);
        for (int m = 0; m < 2; ++m) b_columns[g][i + 8 * m] = half_of(lanes[lane]->b[m], at);
      }
    for (int lane = 0; lane < emulation::warp_size; ++lane)
      for (int m = 0; m < 4; ++m) {
        const float* const x = a_rows[lane / 4 + 8 * (m / 2)];
        const float* const y = b_columns[2 * (lane % 4) + m % 2];
        float sum = lanes[lane]->sums[m];
        for (int l = 0; l < 16; ++l) sum += x[l] * y[l];
        lanes[lane]->sums[m] = sum;
      }
  });
}

struct EmulatedCopy {
  void* to;
  const void* from;
  int bytes;
};
inline thread_local std::map<unsigned, std::vector<EmulatedCopy>> begun_copies;  // a thread of the block each

inline void copy_async(void* shared, const void* from, bool there) {
  begun_copies[threadIdx.x].push_back({shared, from, there ? 16 : 0});
}
inline void wait_for_copies() {
  for (const EmulatedCopy& copy : begun_copies[threadIdx.x]) {
    std::memset(copy.to, 0, 16);
    std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.bytes));
  }
  begun_copies[threadIdx.x].clear();
}

inline unsigned pack_halves(float first, float second) {
  return static_cast<unsigned>(__half(first).bits) | static_cast<unsigned>(__half(second).bits) << 16;
}

inline void store_words(void* to, unsigned first, unsigned second, bool stores) {
  const unsigned words[] = {first, second};
  if (!stores) return;
  if (reinterpret_cast<std::uintptr_t>(to) % sizeof(words) != 0) std::abort();
  std::memcpy(to, words, sizeof(words));
}

}  // namespace swav::detail
