// A grid's blocks as work of host threads. In: a kernel's body, the grid's and the block's size. Out: the body has run
// once a thread of each block (fibers.h).
//
// Blocks run one after the other. Those that wait for each other, of a cooperative grid or a cluster, have a host
// thread each, so that a block's shared variables, which are the thread's, are its own.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "fibers.h"

namespace swav::emulation {

/// Dynamic shared memory of the block that this host thread runs.
inline thread_local std::vector<std::max_align_t> dynamic_shared;
inline void size_dynamic_shared(std::size_t bytes) {
  dynamic_shared.resize(bytes / sizeof(std::max_align_t) + 1);
  std::memset(dynamic_shared.data(), 0xFF, bytes);
}

/// Where the blocks of a cooperative grid or of a cluster wait for each other.
class GridBarrier {
 public:
  explicit GridBarrier(unsigned blocks) : live_(blocks) {}

  void wait() {
    std::unique_lock lock(mutex_);
    if (++arrived_ == live_) {
      arrived_ = 0;
      ++generation_;
      released_.notify_all();
      return;
    }
    check();
    const unsigned generation = generation_;
    released_.wait(lock, [&] { return generation_ != generation; });
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    --live_;
    left_ = true;
    check();
  }

 private:
  void check() const {
    if (arrived_ == 0 || !left_) return;
    std::fprintf(stderr, "emulated kernel: a block waits for one of its grid or cluster that has ended\n");
    std::abort();
  }

  std::mutex mutex_;
  std::condition_variable released_;
  unsigned live_, arrived_ = 0, generation_ = 0;
  bool left_ = false;
};
inline thread_local GridBarrier* grid_barrier = nullptr;

/// Host threads that outlive grids, since fibers are dear to make.
class Crew {
 public:
  static Crew& instance() {
    static Crew crew;
    return crew;
  }
  /// work(0), ..., work(count - 1), each on a thread of its own, all at once.
  void run(unsigned count, const std::function<void(unsigned)>& work) {
    const std::lock_guard only(calls_);
    while (members_.size() < count) {
      members_.emplace_back();
      Member& member = members_.back();
      member.thread = std::thread([&member] {
        for (;;) {
          std::unique_lock lock(member.mutex);
          member.changed.wait(lock, [&] { return member.task != nullptr; });
          if (member.ends) return;
          member.task();
          member.task = nullptr;
          member.changed.notify_all();
        }
      });
    }
    for (unsigned i = 0; i < count; ++i) members_[i].give([&work, i] { work(i); });
    for (unsigned i = 0; i < count; ++i) members_[i].wait();
  }

 private:
  struct Member {
    std::mutex mutex;
    std::condition_variable changed;
    std::function<void()> task;
    bool ends = false;
    std::thread thread;

    void give(std::function<void()> next) {
      const std::lock_guard lock(mutex);
      task = std::move(next);
      changed.notify_all();
    }
    void wait() {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return task == nullptr; });
    }
  };
  ~Crew() {
    for (Member& member : members_) {
      member.ends = true;
      member.give([] {});
      member.thread.join();
    }
  }

  std::mutex calls_;
  std::deque<Member> members_;
};

/// A cluster of blocks that run at once, and where their threads' own variables begin: one block's are as far from
/// there as another's.
struct Cluster {
  explicit Cluster(unsigned blocks) : barrier(blocks), variables(blocks) {}
  GridBarrier barrier;
  std::vector<char*> variables;
};
inline thread_local Cluster* cluster = nullptr;

/// body for `count` blocks from `first` on, all at once, that wait for each other at `barrier`.
template <class Start>
void run_at_once(dim3 grid, dim3 block, std::size_t shared_bytes, unsigned first, unsigned count, GridBarrier& barrier,
                 Start start, const std::function<void()>& body) {
  Crew::instance().run(count, [&](unsigned number) {
    gridDim = grid;
    blockDim = block;
    blockIdx = dim3(first + number, 0, 0);
    size_dynamic_shared(shared_bytes);
    start(number);
    Block::of_this_thread().run(static_cast<int>(block.x), body);
    grid_barrier = nullptr;
    cluster = nullptr;
    barrier.leave();
  });
}

inline void run_cooperative_grid(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& body) {
  GridBarrier barrier(grid.x);
  run_at_once(
      grid, block, shared_bytes, 0, grid.x, barrier, [&](unsigned) { grid_barrier = &barrier; }, body);
}

/// Clusters of `blocks`, one after the other.
inline void run_clusters(dim3 grid, dim3 block, std::size_t shared_bytes, unsigned blocks,
                         const std::function<void()>& body) {
  for (unsigned first = 0; first < grid.x; first += blocks) {
    Cluster blocks_at_once(blocks);
    const auto start = [&](unsigned number) {
      cluster = &blocks_at_once;
      blocks_at_once.variables[number] = reinterpret_cast<char*>(&cluster);
    };
    run_at_once(grid, block, shared_bytes, first, blocks, blocks_at_once.barrier, start, body);
  }
}

inline void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& body) {
  gridDim = grid;
  blockDim = block;
  size_dynamic_shared(shared_bytes);
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
        Block::of_this_thread().run(static_cast<int>(block.x), body);
}

}  // namespace swav::emulation
