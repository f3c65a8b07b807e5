// What the blocks of a cluster send each other: instructions of sm_90 and later that C++ has no words for. In: shared
// memory of the block. Out: numbers in that of others, and waits for them that wait for no other memory, as a barrier
// of the cluster does. A test without a GPU puts a header of this name with the same functions before this one.
#pragma once

#include <cuda_runtime.h>

namespace swav::detail {

/// In shared memory, counts bytes that are sent to the block. It takes turns, each of which ends when the block has
/// said how many bytes it expects and these have arrived.
using Mailbox = unsigned long long;

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/// The block's number in its cluster, and how many there are.
[[nodiscard]] __device__ __forceinline__ int cluster_rank() {
  int rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
[[nodiscard]] __device__ __forceinline__ int cluster_blocks() {
  int blocks;
  asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(blocks));
  return blocks;
}

/// All threads of the cluster wait for each other, and for what they have written and read.
__device__ __forceinline__ void wait_for_cluster() {
  asm volatile("barrier.cluster.arrive.release; barrier.cluster.wait.acquire;" ::: "memory");
}

[[nodiscard]] __device__ __forceinline__ unsigned shared_address(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

/// By one thread of the block; nothing is sent before the cluster has waited.
__device__ __forceinline__ void open_mailbox(Mailbox* box) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1; fence.mbarrier_init.release.cluster;" ::"r"(shared_address(box))
               : "memory");
}
/// By one thread of the block, once a turn.
__device__ __forceinline__ void expect_mail(Mailbox* box, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(box)), "r"(bytes)
               : "memory");
}
/// Stores to where block `to` has what this one has at `at`, and counts it there in what is `box` here.
__device__ __forceinline__ void send_mail(double value, double* at, Mailbox* box, int to) {
  asm volatile(
      "{ .reg .b32 at, box;"
      " mapa.shared::cluster.u32 at, %0, %3;"
      " mapa.shared::cluster.u32 box, %1, %3;"
      " st.async.shared::cluster.mbarrier::complete_tx::bytes.f64 [at], %2, [box]; }" ::"r"(shared_address(at)),
      "r"(shared_address(box)), "d"(value), "r"(to)
      : "memory");
}
/// Waits for the end of a turn, of which this is the number: its last bit tells.
__device__ __forceinline__ void wait_for_mail(Mailbox* box, unsigned turn) {
  unsigned ended;
  do {
    asm volatile(
        "{ .reg .pred ended;"
        " mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 ended, [%1], %2;"
        " selp.u32 %0, 1, 0, ended; }"
        : "=r"(ended)
        : "r"(shared_address(box)), "r"(turn & 1)
        : "memory");
  } while (ended == 0);
}

#else  // GPUs without clusters, on which nothing is launched that has them

[[nodiscard]] __device__ __forceinline__ int cluster_rank() { return 0; }
[[nodiscard]] __device__ __forceinline__ int cluster_blocks() { return 1; }
__device__ __forceinline__ void wait_for_cluster() { __trap(); }
__device__ __forceinline__ void open_mailbox(Mailbox*) {}
__device__ __forceinline__ void expect_mail(Mailbox*, int) {}
__device__ __forceinline__ void send_mail(double, double*, Mailbox*, int) {}
__device__ __forceinline__ void wait_for_mail(Mailbox*, unsigned) {}

#endif

}  // namespace swav::detail
