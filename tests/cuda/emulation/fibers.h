// The threads of a CUDA block as fibers of one host thread. In: a kernel's body, the grid's and the block's size. Out:
// the body has run once a thread of each block, barriers and shuffles meaning what they mean on a GPU.
//
// A fiber runs until it waits. A round in which every thread waits for another is a mistake of the kernel's (a barrier
// that not all of a block reach), and ends the program. SWAV_EMULATION_ORDER=reverse runs the last thread first: what
// depends on the order lacks a barrier.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned in_x = 1, unsigned in_y = 1, unsigned in_z = 1) : x(in_x), y(in_y), z(in_z) {}
};

inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace swav::emulation {

inline constexpr int warp_size = 32;

struct Barrier {
  int arrived = 0;
  unsigned generation = 0;
};

struct Warp : Barrier {
  int members = 0;
  alignas(16) unsigned char slots[2][warp_size][16];
  void* parts[warp_size];
};

struct Fiber {
  ucontext_t start;  // entered once; from then on by place, without the system call that a context takes
  jmp_buf place;
  bool entered = false;
  std::unique_ptr<char[]> stack;
  bool done = false;
};

class Block {
 public:
  static constexpr std::size_t stack_bytes = std::size_t{128} << 10;

  static Block& of_this_thread() {
    static thread_local Block block;
    return block;
  }

  void run(int threads, const std::function<void()>& body) {
    body_ = &body;
    live_ = threads;
    block_barrier_ = {};
    warps_.assign(static_cast<std::size_t>((threads + warp_size - 1) / warp_size), Warp{});
    for (int t = 0; t < threads; ++t) ++warps_[static_cast<std::size_t>(t / warp_size)].members;
    while (static_cast<int>(fibers_.size()) < threads) add_fiber();
    for (int t = 0; t < threads; ++t) fibers_[static_cast<std::size_t>(t)]->done = false;
    while (live_ > 0) {
      progressed_ = false;
      for (int i = 0; i < threads; ++i) {
        current_ = reversed_ ? threads - 1 - i : i;
        Fiber& fiber = *fibers_[static_cast<std::size_t>(current_)];
        if (fiber.done) continue;
        threadIdx.x = static_cast<unsigned>(current_);
        resume(fiber);
      }
      if (live_ > 0 && !progressed_) {
        std::fprintf(stderr, "emulated kernel: the threads of block %u wait for each other\n", blockIdx.x);
        std::abort();
      }
    }
  }

  void wait_for_block() { wait(block_barrier_, live_); }
  /// Lets the other threads run, and those of other blocks: for who waits for these.
  void pause() {
    progressed_ = true;
    leave();
  }

  template <class T>
  T exchange(T value, int source) {
    static_assert(sizeof(T) <= 16);
    Warp& warp = warps_[static_cast<std::size_t>(current_ / warp_size)];
    auto& slots = warp.slots[warp.generation & 1u];
    std::memcpy(slots[current_ % warp_size], &value, sizeof(T));
    wait(warp, warp.members);
    T found;
    std::memcpy(&found, slots[source < warp.members ? source : current_ % warp_size], sizeof(T));
    return found;
  }

  /// body(parts of all lanes), once a warp, when each has given its own; whole warps only.
  template <class Part, class Body>
  void together(Part& mine, Body body) {
    Warp& warp = warps_[static_cast<std::size_t>(current_ / warp_size)];
    warp.parts[lane()] = &mine;
    if (warp.arrived + 1 == warp_size) {
      Part* parts[warp_size];
      for (int l = 0; l < warp_size; ++l) parts[l] = static_cast<Part*>(warp.parts[l]);
      body(parts);
    }
    wait(warp, warp_size);
  }

  [[nodiscard]] int lane() const { return current_ % warp_size; }

 private:
  // Fibers outlive their block: each runs its part of the next one, too.
  static void enter() {
    Block& block = of_this_thread();
    for (;;) {
      (*block.body_)();
      block.fibers_[static_cast<std::size_t>(block.current_)]->done = true;
      block.progressed_ = true;
      --block.live_;
      if (block.live_ > 0 && block.block_barrier_.arrived == block.live_) block.release(block.block_barrier_);
      block.leave();
    }
  }

  void add_fiber() {
    fibers_.push_back(std::make_unique<Fiber>());
    Fiber& fiber = *fibers_.back();
    fiber.stack = std::make_unique<char[]>(stack_bytes);
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.get();
    fiber.start.uc_stack.ss_size = stack_bytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, &Block::enter, 0);
  }

  void resume(Fiber& fiber) {
    if (_setjmp(home_) != 0) return;
    if (fiber.entered) _longjmp(fiber.place, 1);
    fiber.entered = true;
    setcontext(&fiber.start);
  }
  void leave() {
    if (_setjmp(fibers_[static_cast<std::size_t>(current_)]->place) == 0) _longjmp(home_, 1);
  }

  void release(Barrier& barrier) {
    barrier.arrived = 0;
    ++barrier.generation;
    progressed_ = true;
  }

  void wait(Barrier& barrier, int participants) {
    if (++barrier.arrived == participants) {
      release(barrier);
      return;
    }
    for (const unsigned generation = barrier.generation; barrier.generation == generation;) leave();
  }

  const std::function<void()>* body_ = nullptr;
  jmp_buf home_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Warp> warps_;
  Barrier block_barrier_;
  int live_ = 0, current_ = 0;
  bool progressed_ = false;
  const bool reversed_ = [] {
    const char* order = std::getenv("SWAV_EMULATION_ORDER");
    return order != nullptr && std::string(order) == "reverse";
  }();
};

}  // namespace swav::emulation

inline void __syncthreads() { swav::emulation::Block::of_this_thread().wait_for_block(); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  auto& block = swav::emulation::Block::of_this_thread();
  return block.exchange(value, block.lane() ^ mask);
}
template <class T>
T __shfl_sync(unsigned, T value, int source) {
  return swav::emulation::Block::of_this_thread().exchange(value, source);
}
inline void __syncwarp() { __shfl_xor_sync(~0u, 0, 0); }
inline unsigned __ballot_sync(unsigned, int predicate) {
  unsigned bits = predicate != 0 ? 1u << swav::emulation::Block::of_this_thread().lane() : 0u;
  for (int distance = 1; distance < swav::emulation::warp_size; distance *= 2)
    bits |= __shfl_xor_sync(~0u, bits, distance);
  return bits;
}
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int atomicOr(int* target, int bits) { return __atomic_fetch_or(target, bits, __ATOMIC_SEQ_CST); }
