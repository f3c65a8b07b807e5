// A group of GPUs by NCCL, one a process; the program links nccl. In: a device, a way to share NCCL's id. Out: a
// swav::Communicator whose sums and maxima are enqueued on the device's stream.
#pragma once

#include <nccl.h>

#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/backend/cuda/device.cuh"
#include "swav/comm/communicator.hpp"
#include "swav/comm/exchange.hpp"
#include "swav/core/error.hpp"

namespace swav {
namespace detail {

inline void check_nccl(ncclResult_t status, const char* call, ncclComm_t group = nullptr) {
  if (status == ncclSuccess) return;
  const char* const more = ncclGetLastError(group);
  throw CudaError(concatenate(call, ": ", ncclGetErrorString(status), more != nullptr && *more != '\0' ? ": " : "",
                              more != nullptr ? more : ""));
}

[[nodiscard]] inline bool is_on_gpu(const void* memory) {
  cudaPointerAttributes attributes{};
  check_cuda(cudaPointerGetAttributes(&attributes, memory), "cudaPointerGetAttributes");
  return attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
}

}  // namespace detail

/// The processes of a group with a GPU each. Data in the GPU's memory is reduced on the stream of `device`, which must
/// be that of the component that uses the group, and not waited for; data in the host's memory is copied there and
/// back, and waited for. Copies share the group. Knows float, double and int. Each failure is a CudaError that names
/// the call. Where NCCL tells that another process has ended or cannot be reached, the group is aborted, and the next
/// reduction, or the device's wait() or synchronize() that waits for one, throws. What NCCL does not notice by itself
/// is left to who started the processes.
class NcclCommunicator {
 public:
  /// This process alone, without NCCL.
  NcclCommunicator() = default;

  /// `share(ncclUniqueId&)` is called in every process and gives all of them the id that process 0 calls it with.
  template <std::invocable<ncclUniqueId&> Share>
  NcclCommunicator(const CudaDevice& device, int rank, int size, Share share) : device_(device) {
    detail::require(rank >= 0 && rank < size, "NcclCommunicator: rank ", rank, " of ", size,
                    " processes found, 0 to size - 1 wanted");
    ncclUniqueId id{};
    if (rank == 0) detail::check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
    share(id);
    ncclComm_t group = nullptr;
    detail::check_nccl(ncclCommInitRank(&group, size, id, rank), "ncclCommInitRank");
    group_ = std::make_shared<State>(group, rank, size);
    device_->watch([watched = std::weak_ptr<State>(group_)] {
      const std::shared_ptr<State> state = watched.lock();
      if (state == nullptr || state->group == nullptr) return false;
      state->check();
      return true;
    });
  }

  /// Of the processes of another group, such as MpiCommunicator's.
  template <Communicator Group>
  NcclCommunicator(const CudaDevice& device, const Group& group)
      : NcclCommunicator(device, group.rank(), group.size(), [&](ncclUniqueId& id) {
          std::vector<double> bytes(sizeof(id.internal), -1.0);
          if (group.rank() == 0)
            for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(id.internal[i]);
          group.maximum(bytes.data(), static_cast<Index>(bytes.size()));
          for (std::size_t i = 0; i < bytes.size(); ++i)
            id.internal[i] = static_cast<char>(static_cast<unsigned char>(bytes[i]));
        }) {}

  /// Of the processes that torchrun starts, or who sets its environment variables, see meeting_point_of_environment().
  /// Throws InvalidInput where a variable is missing, ExchangeError where they do not meet.
  [[nodiscard]] static NcclCommunicator from_environment(const CudaDevice& device) {
    const MeetingPoint point = meeting_point_of_environment();
    return NcclCommunicator(device, point.rank, point.size,
                            [&](ncclUniqueId& id) { share_by_tcp(point, id.internal, sizeof(id.internal)); });
  }

  [[nodiscard]] int rank() const { return group_ == nullptr ? 0 : group_->rank; }
  [[nodiscard]] int size() const { return group_ == nullptr ? 1 : group_->size; }

  template <class T>
  void sum(T* data, Index count) const {
    reduce(data, count, ncclSum);
  }
  template <class T>
  void maximum(T* data, Index count) const {
    reduce(data, count, ncclMax);
  }

 private:
  struct State {
    State(ncclComm_t joined, int own_rank, int processes) : group(joined), rank(own_rank), size(processes) {}
    State(const State&) = delete;
    /// NCCL's regular end waits for the other processes, which may wait for one that leaves by an exception.
    ~State() {
      if (group != nullptr) std::uncaught_exceptions() == 0 ? ncclCommDestroy(group) : ncclCommAbort(group);
    }

    /// Throws where reductions will not be done any more. NCCL only reads a flag for it.
    void check() {
      if (group != nullptr) {
        ncclResult_t status = ncclSuccess;
        detail::check_nccl(ncclCommGetAsyncError(group, &status), "ncclCommGetAsyncError", group);
        if (status == ncclSuccess || status == ncclInProgress) return;
        failure = ncclGetErrorString(status);
        ncclCommAbort(std::exchange(group, nullptr));
      }
      throw CudaError(detail::concatenate("NcclCommunicator: process ", rank, " of ", size,
                                          " found that another has ended or cannot be reached: ", failure));
    }

    ncclComm_t group;  // null once it is aborted
    int rank, size;
    CudaBuffer<char> staged;
    std::string failure;
  };

  template <class T>
  static constexpr ncclDataType_t data_type() {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, int>,
                  "NcclCommunicator knows float, double and int");
    return std::is_same_v<T, float> ? ncclFloat32 : std::is_same_v<T, double> ? ncclFloat64 : ncclInt32;
  }

  template <class T>
  void reduce(T* data, Index count, ncclRedOp_t operation) const {
    if (count == 0 || group_ == nullptr) return;
    if (detail::is_on_gpu(data)) return enqueue(data, count, operation);
    auto* const staged = reinterpret_cast<T*>(group_->staged.reserve(count * static_cast<Index>(sizeof(T))));
    detail::upload(*device_, data, count, staged);
    enqueue(staged, count, operation);
    detail::download(*device_, staged, count, data);
  }

  template <class T>
  void enqueue(T* data, Index count, ncclRedOp_t operation) const {
    group_->check();
    detail::check_nccl(ncclAllReduce(data, data, static_cast<std::size_t>(count), data_type<T>(), operation,
                                     group_->group, device_->stream()),
                       "ncclAllReduce", group_->group);
  }

  std::optional<CudaDevice> device_;
  std::shared_ptr<State> group_;
};

}  // namespace swav
