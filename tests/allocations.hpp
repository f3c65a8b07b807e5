// Counts the calls of the global operator new. In: nothing. Out: swav::test::allocations().
// It replaces operator new, so include it in exactly one file of a test executable.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace swav::test {

inline std::atomic<long> allocation_count{0};

/// How often this process has allocated so far, on all threads.
inline long allocations() { return allocation_count.load(); }

inline void* counted_allocation(std::size_t size, std::size_t alignment) {
  ++allocation_count;
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* const p = std::aligned_alloc(alignment, rounded > 0 ? rounded : alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace swav::test

// clang's ThreadSanitizer brings operators of its own, which cannot be replaced: nothing is counted under it.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SWAV_TEST_COUNTS_NO_ALLOCATIONS
#endif
#endif
#ifndef SWAV_TEST_COUNTS_NO_ALLOCATIONS

// Not inlined: g++ takes one that it sees through, beside another that it does not, for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  return swav::test::counted_allocation(size, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return swav::test::counted_allocation(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

#endif
