// CUDA's runtime on the CPU, as much of it as the backend calls, so that its kernels run in tests where no GPU is. In:
// the backend's headers, compiled by a host compiler with this folder on the include path. Out: the same calls with the
// same meaning: memory is the host's, streams run at once, a graph records and replays. Streams that wait for nobody by
// themselves run late, when somebody waits for them; with SWAV_EMULATION_LATE=1 all that are created do, for code that
// uses neither Thrust nor NCCL. Events, frees and the default stream are waited for as on a GPU.
//
// The threads of a block are fibers that change at barriers and shuffles (fibers.h). What it cannot show: races between
// blocks, the memory model, speed. What it does: every index, every barrier, every order of work, under a sanitizer
// too.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "grids.h"

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __grid_constant__
#define __noinline__ __attribute__((noinline))
#define __shared__ static thread_local
#define SWAV_DYNAMIC_SHARED(name) \
  unsigned char* const name = reinterpret_cast<unsigned char*>(swav::emulation::dynamic_shared.data())

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNotReady = 600,
  cudaErrorStreamCaptureUnsupported = 900
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
  cudaDevAttrCooperativeLaunch = 95,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
  cudaDevAttrReservedSharedMemoryPerBlock = 111,
  cudaDevAttrClusterLaunch = 120
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal };

namespace swav::emulation {

using Work = std::function<void()>;
struct Graph {
  std::vector<Work> nodes;
};
struct Stream {
  std::shared_ptr<Graph> recording;
  bool is_late = false;     // work waits until somebody waits for it: who forgets to, reads what was there before
  bool is_blocking = true;  // the default stream waits for it
  std::deque<Work> waiting;
  long submitted = 0, done = 0;
};
inline void run_until(Stream& stream, long number) {
  while (stream.done < number && !stream.waiting.empty()) {
    const Work work = std::move(stream.waiting.front());
    stream.waiting.pop_front();
    work();  // which may wait for another stream, and that for what this one has done
    ++stream.done;
  }
}
inline std::set<Stream*> streams;
inline std::vector<std::unique_ptr<Stream>> ended_streams;  // whose events others may yet wait for
inline std::mutex streams_lock;
inline void run_all(bool blocking_alone) {
  std::vector<Stream*> all;
  {
    const std::lock_guard lock(streams_lock);
    for (Stream* const stream : streams)
      if (stream->is_late && (stream->is_blocking || !blocking_alone)) all.push_back(stream);
  }
  for (Stream* const stream : all) run_until(*stream, stream->submitted);
}
inline bool all_are_late() {
  static const bool late = [] {
    const char* const asked = std::getenv("SWAV_EMULATION_LATE");
    return asked != nullptr && std::string_view(asked) == "1";
  }();
  return late;
}
inline Stream default_stream;
inline int captures = 0;                          // streams that record now, in which no memory can be had
inline int devices = 1;                           // 0: as on a machine without a GPU
inline int device = 0;                            // the one that is chosen
inline long busy_queries = 0;                     // so many find a stream at work
inline long launches = 0;                         // kernels and copies, for tests
inline std::size_t free_bytes = ~std::size_t{0};  // what one allocation may ask for

/// What Thrust would take for the failure of its own call, until it is asked for.
inline thread_local cudaError_t last_error = cudaSuccess;

inline cudaError_t submit(Stream* stream, Work work, bool is_counted = true) {
  if (last_error != cudaSuccess) return last_error;
  Stream& on = stream == nullptr ? default_stream : *stream;
  if (is_counted) ++launches;
  if (stream == nullptr) run_all(true);
  if (on.recording)
    on.recording->nodes.push_back(std::move(work));
  else if (on.is_late)
    on.waiting.push_back(std::move(work)), ++on.submitted;
  else
    work();
  return cudaSuccess;
}

inline std::map<const char*, std::size_t> device_memory;
inline std::mutex device_memory_lock;

inline cudaError_t allocate(void** pointer, std::size_t bytes, bool on_device) {
  if (captures > 0) return cudaErrorStreamCaptureUnsupported;
  if (bytes > free_bytes) return cudaErrorMemoryAllocation;
  *pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (*pointer == nullptr) return cudaErrorMemoryAllocation;
  std::memset(*pointer, 0xFF, std::min(bytes, std::size_t{4} << 20));  // NaN: what is read before it is written shows
  if (on_device) {
    const std::lock_guard lock(device_memory_lock);
    device_memory[static_cast<const char*>(*pointer)] = bytes;
  }
  return cudaSuccess;
}

}  // namespace swav::emulation

using cudaStream_t = swav::emulation::Stream*;
using cudaGraph_t = std::shared_ptr<swav::emulation::Graph>*;
using cudaGraphExec_t = std::shared_ptr<swav::emulation::Graph>*;

inline const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    default:
      return "invalid argument";
  }
}
inline cudaError_t cudaGetLastError() { return std::exchange(swav::emulation::last_error, cudaSuccess); }

inline cudaError_t cudaGetDevice(int* device) {
  *device = swav::emulation::device;
  return swav::emulation::devices > 0 ? cudaSuccess : cudaErrorNoDevice;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  // Few processors with little memory: blocks have several rows each in small problems, and not all of them fit.
  static const bool cooperative = std::getenv("SWAV_EMULATION_COOPERATIVE") == nullptr,
                    clusters = std::getenv("SWAV_EMULATION_CLUSTERS") == nullptr;
  *value = attribute == cudaDevAttrMaxSharedMemoryPerMultiprocessor ? 24 << 10
           : attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin   ? 20 << 10
           : attribute == cudaDevAttrReservedSharedMemoryPerBlock   ? 1 << 10
           : attribute == cudaDevAttrCooperativeLaunch              ? static_cast<int>(cooperative)
           : attribute == cudaDevAttrClusterLaunch                  ? static_cast<int>(clusters)
                                                                    : 2;
  return cudaSuccess;
}
struct cudaFuncAttributes {
  std::size_t sharedSizeBytes;
  int ptxVersion;
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel*) {
  *attributes = {1 << 10, 90};
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int) {
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int, std::size_t shared_bytes) {
  *blocks = shared_bytes <= 11 << 10 ? 2 : 1;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = swav::emulation::devices;
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}
inline cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= swav::emulation::devices) return cudaErrorInvalidDevice;
  swav::emulation::device = device;
  return cudaSuccess;
}
struct cudaDeviceProp {
  struct {
    char bytes[16];
  } uuid;
};
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  properties->uuid.bytes[0] = static_cast<char>(device);
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() {
  swav::emulation::run_all(false);
  return cudaSuccess;
}

template <class T>
cudaError_t cudaMalloc(T** pointer, std::size_t bytes) {
  return swav::emulation::allocate(reinterpret_cast<void**>(pointer), bytes, true);
}
template <class T>
cudaError_t cudaMallocHost(T** pointer, std::size_t bytes) {
  return swav::emulation::allocate(reinterpret_cast<void**>(pointer), bytes, false);
}
/// Waits for the GPU, as CUDA's does.
inline cudaError_t cudaFree(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  swav::emulation::run_all(false);
  {
    const std::lock_guard lock(swav::emulation::device_memory_lock);
    swav::emulation::device_memory.erase(static_cast<const char*>(pointer));
  }
  std::free(pointer);
  return cudaSuccess;
}
inline cudaError_t cudaFreeHost(void* pointer) { return cudaFree(pointer); }

enum cudaMemoryType { cudaMemoryTypeUnregistered = 0, cudaMemoryTypeDevice = 2, cudaMemoryTypeManaged = 3 };
struct cudaPointerAttributes {
  cudaMemoryType type;
};
inline cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const std::lock_guard lock(swav::emulation::device_memory_lock);
  const auto& memory = swav::emulation::device_memory;
  const char* const at = static_cast<const char*>(pointer);
  const auto after = memory.upper_bound(at);
  const bool found = after != memory.begin() && at < std::prev(after)->first + std::prev(after)->second;
  attributes->type = found ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}

inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                                   cudaStream_t stream = nullptr) {
  return swav::emulation::submit(stream, [=] {
    if (bytes > 0) std::memcpy(to, from, bytes);
  });
}
inline cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind);
}
inline cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                                std::size_t width, std::size_t height, cudaMemcpyKind kind) {
  for (std::size_t row = 0; row < height; ++row)
    cudaMemcpy(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width, kind);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                                     std::size_t width, std::size_t height, cudaMemcpyKind kind,
                                     cudaStream_t stream = nullptr) {
  for (std::size_t row = 0; row < height; ++row)
    cudaMemcpyAsync(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width,
                    kind, stream);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream = nullptr) {
  return swav::emulation::submit(stream, [=] {
    if (bytes > 0) std::memset(to, value, bytes);
  });
}

inline cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                                     cudaStream_t stream = nullptr) {
  for (std::size_t row = 0; row < height; ++row)
    cudaMemsetAsync(static_cast<char*>(to) + row * pitch, value, width, stream);
  return cudaSuccess;
}

inline cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  if (swav::emulation::devices == 0) return cudaErrorNoDevice;
  *stream = new swav::emulation::Stream;
  (*stream)->is_late = swav::emulation::all_are_late();
  const std::lock_guard lock(swav::emulation::streams_lock);
  swav::emulation::streams.insert(*stream);
  return cudaSuccess;
}
inline constexpr unsigned cudaStreamNonBlocking = 1;
/// What no other stream waits for by itself: its work is done late.
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const cudaError_t error = cudaStreamCreate(stream);
  if (error != cudaSuccess || flags != cudaStreamNonBlocking) return error;
  (*stream)->is_late = true;
  (*stream)->is_blocking = false;
  return error;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream == nullptr) return cudaSuccess;
  swav::emulation::run_until(*stream, stream->submitted);
  {
    const std::lock_guard lock(swav::emulation::streams_lock);
    swav::emulation::streams.erase(stream);
    swav::emulation::ended_streams.emplace_back(stream);
  }
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream != nullptr)
    swav::emulation::run_until(*stream, stream->submitted);
  else
    swav::emulation::run_all(true);
  return stream != nullptr && stream->recording ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

inline cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (swav::emulation::busy_queries > 0 && swav::emulation::busy_queries-- > 0)
    return swav::emulation::last_error = cudaErrorNotReady;
  return cudaStreamSynchronize(stream);
}

struct EmulatedEvent {
  cudaStream_t stream = nullptr;
  long number = 0;  // of the stream's work, what is done when the event is
};
using cudaEvent_t = EmulatedEvent*;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *event = {stream, stream != nullptr ? stream->submitted : 0};
  return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->stream != nullptr) swav::emulation::run_until(*event->stream, event->number);
  return cudaSuccess;
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned = 0) {
  if (event->stream == nullptr) return cudaSuccess;
  return swav::emulation::submit(
      stream, [of = event->stream, number = event->number] { swav::emulation::run_until(*of, number); }, false);
}
inline cudaError_t cudaMemGetInfo(std::size_t* left, std::size_t* total) {
  const std::lock_guard lock(swav::emulation::device_memory_lock);
  std::size_t used = 0;
  for (const auto& [pointer, bytes] : swav::emulation::device_memory) used += bytes;
  *left = std::min(swav::emulation::free_bytes, (std::size_t{1} << 40) - used);
  *total = *left + used;
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->recording = std::make_shared<swav::emulation::Graph>();
  ++swav::emulation::captures;
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = new std::shared_ptr<swav::emulation::Graph>(std::move(stream->recording));
  --swav::emulation::captures;
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long = 0) {
  *executable = new std::shared_ptr<swav::emulation::Graph>(*graph);
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const auto& node : (*executable)->nodes) swav::emulation::submit(stream, node, false);
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

enum cudaLaunchAttributeID { cudaLaunchAttributeCooperative = 2, cudaLaunchAttributeClusterDimension = 4 };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int cooperative;
    dim3 clusterDim;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};
inline const cudaLaunchAttribute* find_attribute(const cudaLaunchConfig_t& config, cudaLaunchAttributeID id) {
  for (unsigned a = 0; a < config.numAttrs; ++a)
    if (config.attrs[a].id == id) return config.attrs + a;
  return nullptr;
}
/// As if 8 processors had room for a block of a cluster each.
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, Kernel*, const cudaLaunchConfig_t* config) {
  const cudaLaunchAttribute* const cluster = find_attribute(*config, cudaLaunchAttributeClusterDimension);
  if (cluster == nullptr) return cudaErrorInvalidValue;
  *clusters = static_cast<int>(8 / cluster->val.clusterDim.x);
  return cudaSuccess;
}
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const dim3 grid = config->gridDim, block = config->blockDim;
  if (grid.x == 0 || block.x == 0 || block.x > 1024) return cudaErrorInvalidValue;
  const std::size_t shared_bytes = config->dynamicSmemBytes;
  const cudaLaunchAttribute* const cooperative = find_attribute(*config, cudaLaunchAttributeCooperative);
  const cudaLaunchAttribute* const cluster = find_attribute(*config, cudaLaunchAttributeClusterDimension);
  const bool at_once = cooperative != nullptr && cooperative->val.cooperative != 0;
  const unsigned cluster_blocks = cluster != nullptr ? cluster->val.clusterDim.x : 0;
  if (at_once && grid.x > 4) return cudaErrorInvalidValue;  // more than there is room for
  if (cluster != nullptr && (cluster_blocks == 0 || cluster_blocks > 8 || grid.x % cluster_blocks != 0 || at_once))
    return cudaErrorInvalidValue;
  const std::tuple<Parameters...> copies(std::forward<Arguments>(arguments)...);
  return swav::emulation::submit(config->stream, [=] {
    const auto body = [&] { std::apply(kernel, copies); };
    if (at_once)
      swav::emulation::run_cooperative_grid(grid, block, shared_bytes, body);
    else if (cluster != nullptr)
      swav::emulation::run_clusters(grid, block, shared_bytes, cluster_blocks, body);
    else
      swav::emulation::run_grid(grid, block, shared_bytes, body);
  });
}
