// Tables that the host makes anew for each call, on their way to the GPU. In: bytes. Out: the same in the GPU's memory,
// by the stream's order; the host waits only for the copy of an earlier table, not for work.
#pragma once

#include <utility>

#include "swav/backend/cuda/device.cuh"

namespace swav::detail {

/// Two tables take turns in pinned memory, so that one is made while the other is copied.
class Staging {
 public:
  Staging() = default;
  Staging(const Staging&) = delete;
  ~Staging() {
    for (Slot& slot : slots_) {
      cudaFreeHost(slot.host);
      if (slot.copied != nullptr) cudaEventDestroy(slot.copied);
    }
  }

  /// Room for a table of so many bytes.
  char* begin(Index bytes) {
    turn_ = 1 - turn_;
    Slot& slot = slots_[turn_];
    if (slot.copied == nullptr)
      check_cuda(cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    else
      check_cuda(cudaEventSynchronize(slot.copied), "cudaEventSynchronize");
    if (bytes > slot.capacity) {
      check_cuda(cudaFreeHost(std::exchange(slot.host, nullptr)), "cudaFreeHost");
      slot.capacity = 0;
      const Index capacity = bytes + bytes / 4;  // tables differ in size
      check_cuda(cudaMallocHost(&slot.host, static_cast<std::size_t>(capacity)), "cudaMallocHost");
      slot.capacity = capacity;
    }
    return slot.host;
  }

  /// The table in the GPU's memory, for what is enqueued next.
  const char* send(const CudaDevice& device, Index bytes) {
    Slot& slot = slots_[turn_];
    char* const to = slot.device.reserve_ahead(bytes);
    check_cuda(cudaMemcpyAsync(to, slot.host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, device.stream()),
               "cudaMemcpyAsync");
    check_cuda(cudaEventRecord(slot.copied, device.stream()), "cudaEventRecord");
    return to;
  }

 private:
  struct Slot {
    char* host = nullptr;
    Index capacity = 0;
    CudaBuffer<char> device;
    cudaEvent_t copied = nullptr;
  };

  Slot slots_[2];
  int turn_ = 0;
};

}  // namespace swav::detail
