// The counting operator new and the counting malloc, which the linker's --wrap puts between this executable's objects
// and the C library. In: their calls. Out: their number and size.
#include "allocations.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::atomic<long> count{0}, bytes{0};
thread_local long thread_count = 0;

void add(std::size_t size) {
  ++count;
  bytes += static_cast<long>(size);
  ++thread_count;
}

}  // namespace

extern "C" {

void* __real_malloc(std::size_t);
void* __real_calloc(std::size_t, std::size_t);
void* __real_realloc(void*, std::size_t);
void* __real_aligned_alloc(std::size_t, std::size_t);

void* __wrap_malloc(std::size_t size) {
  add(size);
  return __real_malloc(size);
}
void* __wrap_calloc(std::size_t number, std::size_t size) {
  add(number * size);
  return __real_calloc(number, size);
}
void* __wrap_realloc(void* p, std::size_t size) {
  add(size);
  return __real_realloc(p, size);
}
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
  add(size);
  return __real_aligned_alloc(alignment, size);
}
}

long swav::test::allocations() { return count.load(); }
long swav::test::allocated_bytes() { return bytes.load(); }
long swav::test::allocations_of_this_thread() { return thread_count; }

// clang's ThreadSanitizer brings operators of its own.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SWAV_TEST_KEEPS_OPERATOR_NEW
#endif
#endif
#ifndef SWAV_TEST_KEEPS_OPERATOR_NEW

namespace {

void* counted_allocation(std::size_t size, std::size_t alignment) noexcept {
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  return aligned_alloc(alignment, rounded > 0 ? rounded : alignment);
}

void* checked(void* p) {
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

// Not inlined: g++ takes one that it sees through, beside another that it does not, for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  return checked(counted_allocation(size, alignof(std::max_align_t)));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return checked(counted_allocation(size, static_cast<std::size_t>(alignment)));
}
// AddressSanitizer's own do not go through those above, as the standard library's do.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted_allocation(size, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return counted_allocation(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

#endif
