// The backend's cluster_mail.cuh on the CPU: the same functions, by what that header says of them. A mailbox counts as
// CUDA's mbarrier does, so that what is counted in the wrong turn is waited for in vain, which ends the program.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <thread>

#include "cuda_runtime.h"

namespace swav::detail {

using Mailbox = unsigned long long;

inline std::mutex mail_lock;
struct MailboxState {
  short turn, still_to_say;
  int bytes;  // expected and not there, or there before they were expected
};
static_assert(sizeof(MailboxState) == sizeof(Mailbox));
template <class Change>
MailboxState change_mailbox(Mailbox* box, Change change) {
  const std::lock_guard lock(mail_lock);
  MailboxState state;
  std::memcpy(&state, box, sizeof(state));
  change(state);
  if (state.still_to_say == 0 && state.bytes == 0) {
    ++state.turn;
    state.still_to_say = 1;
  }
  std::memcpy(box, &state, sizeof(state));
  return state;
}

[[noreturn]] inline void end_of_mail(const char* what) {
  std::fprintf(stderr, "emulated kernel: %s\n", what);
  std::abort();
}

inline int cluster_blocks() {
  return emulation::cluster == nullptr ? 1 : static_cast<int>(emulation::cluster->variables.size());
}
inline int cluster_rank() { return static_cast<int>(blockIdx.x) % cluster_blocks(); }
inline void wait_for_cluster() {
  __syncthreads();
  if (threadIdx.x == 0 && emulation::cluster != nullptr) emulation::cluster->barrier.wait();
  __syncthreads();
}

/// Where another block of the cluster has a shared variable.
template <class T>
T* in_block(T* shared, int rank) {
  if (rank < 0 || rank >= cluster_blocks()) end_of_mail("a block that the cluster does not have");
  if (emulation::cluster == nullptr) return shared;
  const auto& variables = emulation::cluster->variables;
  const std::ptrdiff_t distance = reinterpret_cast<char*>(shared) - variables[static_cast<std::size_t>(cluster_rank())];
  constexpr std::ptrdiff_t most_distance = std::ptrdiff_t{1} << 20;
  if (distance < -most_distance || distance > most_distance) end_of_mail("an address that is no shared variable's");
  return reinterpret_cast<T*>(variables[static_cast<std::size_t>(rank)] + distance);
}

inline void open_mailbox(Mailbox* box) {
  change_mailbox(box, [](MailboxState& state) { state = {0, 1, 0}; });
}
inline void expect_mail(Mailbox* box, int bytes) {
  change_mailbox(box, [&](MailboxState& state) {
    --state.still_to_say;
    state.bytes += bytes;
  });
}
inline void send_mail(double value, double* at, Mailbox* box, int to) {
  double* const there = in_block(at, to);
  change_mailbox(in_block(box, to), [&](MailboxState& state) {
    *there = value;
    state.bytes -= static_cast<int>(sizeof(value));
  });
}
inline void wait_for_mail(Mailbox* box, unsigned turn) {
  const auto begin = std::chrono::steady_clock::now();
  while ((static_cast<unsigned>(change_mailbox(box, [](MailboxState&) {}).turn) & 1u) == (turn & 1u)) {
    if (threadIdx.x == 0) {
      if (std::chrono::steady_clock::now() - begin > std::chrono::minutes(1))
        end_of_mail("a block waits for mail that does not come");
      std::this_thread::yield();
    }
    emulation::Block::of_this_thread().pause();
  }
}

}  // namespace swav::detail
