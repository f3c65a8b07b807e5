// The instructions of sm_80 and later that C++ has no words for: products of small matrices of halves by a warp on
// tensor cores, copies to shared memory that run beside other work. In: registers, addresses. Out: the same. A test
// without a GPU puts a header of this name with the same functions before this one.
#pragma once

#include <cuda_runtime.h>

namespace swav::detail {

/// Four 8 x 8 matrices of halves from shared memory. Thread t of the warp gives where row t % 8 of matrix t / 8 begins,
/// at a multiple of 16 bytes, and gets of matrix m, in words[m], the entries (t / 4, 2 (t % 4)) and the one after it.
__device__ __forceinline__ void load_matrices(const void* row, unsigned (&words)[4]) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(address));
}

/// sums += a b for a 16 x 16 and b 16 x 8, of halves, summed in float. With g = t / 4 and i = 2 (t % 4), thread t has
/// - of a the entries (g, i), (g + 8, i), (g, i + 8), (g + 8, i + 8), each with the one to its right, in a word;
/// - of b (i, g) and (i + 8, g), each with the one below it: those of two matrices loaded from b's columns;
/// - of the sums (g, i), (g, i + 1), (g + 8, i), (g + 8, i + 1).
__device__ __forceinline__ void multiply_add(float (&sums)[4], const unsigned (&a)[4], unsigned b_first,
                                             unsigned b_second) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_first), "r"(b_second));
}

/// Begins to copy 16 bytes to shared memory, or to make them 0 where they are not `there`. Both addresses are multiples
/// of 16, and `from` is that of the GPU's memory even where there is nothing to copy.
__device__ __forceinline__ void copy_async(void* shared, const void* from, bool there) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(__cvta_generic_to_global(from)),
               "r"(there ? 16 : 0)
               : "memory");
}
/// Waits for all copies that this thread has begun.
__device__ __forceinline__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/// Two floats rounded to halves, the first in the low bits.
__device__ __forceinline__ unsigned pack_halves(float first, float second) {
  unsigned word;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
  return word;
}

/// Where `stores`, two words to an address that is a multiple of 8, without a branch.
__device__ __forceinline__ void store_words(void* to, unsigned first, unsigned second, bool stores) {
  asm volatile("{ .reg .pred stores; setp.ne.b32 stores, %3, 0; @stores st.global.v2.b32 [%0], {%1, %2}; }" ::"l"(
                   __cvta_generic_to_global(to)),
               "r"(first), "r"(second), "r"(static_cast<int>(stores))
               : "memory");
}

}  // namespace swav::detail
