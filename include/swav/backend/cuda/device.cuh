// The CUDA device. In: a stream. Out: what components on the GPU share, and what kernels are launched with.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <typeindex>
#include <typeinfo>
#include <utility>
#include <vector>

#include "swav/backend/cuda/error.cuh"
#include "swav/backend/cuda/faults.cuh"
#include "swav/backend/cuda/memory.cuh"
#include "swav/core/matrix_view.hpp"

namespace swav {

/// How products of floats are made.
/// - full: float's own digits.
/// - tf32: on tensor cores, with 11 of the digits, where the GPU has them.
enum class CudaProducts { full, tf32 };

namespace detail {

/// Specialised, with make(stream), for devices that work on a CUDA stream without being a CudaDevice.
template <class Device>
struct FromStream;

}  // namespace detail

template <class T>
class CudaValue;

/// A GPU and a stream of work on it. Components enqueue their work on the stream and return without waiting for it:
/// what they were given must stay until the stream is done with it, and bad values in it are found on the GPU, where
/// they leave the results as they were and are reported by synchronize(). After a first call of a shape, components
/// allocate nothing, and their calls can be captured in a graph. Copies of a device share stream and resources.
///
/// Throws CudaError where there is no GPU. Objects that share a device are not for several threads at once; devices
/// with streams of their own are independent.
class CudaDevice {
 public:
  template <class T>
  using Buffer = CudaBuffer<T>;
  template <class T>
  using Matrix = CudaMatrix<T>;
  template <class T>
  using Value = CudaValue<T>;

  /// On the default stream.
  CudaDevice() : CudaDevice(nullptr) {}
  /// `stream` belongs to the caller and must outlive the device.
  explicit CudaDevice(cudaStream_t stream, CudaProducts products = CudaProducts::full)
      : resources_(std::make_shared<Resources>(stream, products)) {}

  /// Another kind of device on this stream, the same at each call: it keeps memory to work in.
  template <class Other>
  requires requires(cudaStream_t stream) { detail::FromStream<Other>::make(stream); }
  operator const Other&() const {
    return kept<Other>([&] { return std::make_shared<Other>(detail::FromStream<Other>::make(stream())); });
  }

  /// An object that is made at the first call and kept for the next ones: memory that calls on this stream work in.
  template <class T>
  [[nodiscard]] T& kept() const {
    return kept<T>([] { return std::make_shared<T>(); });
  }

  /// One host thread enqueues all work.
  [[nodiscard]] int shares(Index count) const { return count > 0 ? 1 : 0; }
  [[nodiscard]] CudaDevice of_share() const { return *this; }
  template <class Body>
  void for_shares(Index count, const Body& body) const {
    if (count > 0) body(0, Index{0}, count);
  }

  [[nodiscard]] cudaStream_t stream() const { return resources_->stream; }
  [[nodiscard]] CudaProducts products() const { return resources_->products; }
  [[nodiscard]] int multiprocessors() const { return resources_->multiprocessors; }
  /// In bytes; of a multiprocessor, of one block at most, and what each block takes beside its own.
  struct SharedMemory {
    int whole = 0, block = 0, reserved = 0;
  };
  [[nodiscard]] const SharedMemory& shared_memory() const { return resources_->shared_memory; }
  /// Whether all blocks of a grid can be made to run at once.
  [[nodiscard]] bool launches_cooperatively() const { return resources_->cooperative != 0; }
  /// Whether blocks can be launched in clusters, whose shared memory is open to each other: compute capability 9.0.
  [[nodiscard]] bool launches_clusters() const { return resources_->clusters != 0; }
  /// Device memory, in which kernels set the bits of detail::CudaFault.
  [[nodiscard]] int* faults() const { return resources_->faults; }

  /// cuBLAS on this stream, with a workspace of its own, so that captured calls ask for no memory.
  [[nodiscard]] cublasHandle_t cublas() const {
    Resources& r = *resources_;
    if (r.cublas == nullptr) {
      constexpr std::size_t bytes = std::size_t{32} << 20;  // what cuBLAS takes on Hopper
      r.cublas_workspace = detail::allocate_cuda<char>(bytes);
      detail::check_cublas(cublasCreate(&r.cublas), "cublasCreate");
      detail::check_cublas(cublasSetStream(r.cublas, r.stream), "cublasSetStream");
      detail::check_cublas(cublasSetWorkspace(r.cublas, r.cublas_workspace, bytes), "cublasSetWorkspace");
    }
    return r.cublas;
  }

  /// Waits for the stream and for nothing else.
  void wait() const {
    Resources& r = *resources_;
    if (r.watches.empty()) return detail::check_cuda(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
    cudaError_t status = cudaStreamQuery(r.stream);
    for (; status == cudaErrorNotReady; status = cudaStreamQuery(r.stream)) {
      static_cast<void>(cudaGetLastError());  // what is no error must not be taken for one by the next call that looks
      for (auto look = r.watches.begin(); look != r.watches.end();) look = (*look)() ? look + 1 : r.watches.erase(look);
      std::this_thread::yield();
    }
    detail::check_cuda(status, "cudaStreamQuery");
  }
  /// From now on `look` is called again and again while wait() or synchronize() waits, until it returns false. What it
  /// throws ends the wait: for work that will never be done.
  void watch(std::function<bool()> look) const { resources_->watches.push_back(std::move(look)); }

  /// Waits for the stream. Throws InvalidInput when a call since the last synchronize() met values that it could not
  /// work with, InvalidElsewhere when these were another process's of a group, CudaError when the GPU failed.
  void synchronize() const {
    Resources& r = *resources_;
    detail::check_cuda(cudaMemcpyAsync(r.seen, r.faults, sizeof(int), cudaMemcpyDeviceToHost, r.stream),
                       "cudaMemcpyAsync");
    wait();
    if (*r.seen == 0) return;
    detail::check_cuda(cudaMemsetAsync(r.faults, 0, sizeof(int), r.stream), "cudaMemsetAsync");
    if (*r.seen == detail::bad_elsewhere)
      throw InvalidElsewhere("input that cannot be worked with found in another process of the group");
    throw InvalidInput(detail::fault_message(*r.seen));
  }

 private:
  template <class T, class Make>
  T& kept(Make make) const {
    std::shared_ptr<void>& object = resources_->kept[std::type_index(typeid(T))];
    if (object == nullptr) object = make();
    return *static_cast<T*>(object.get());
  }

  struct Resources {
    Resources(cudaStream_t on, CudaProducts how) : stream(on), products(how) {
      int number = 0;
      detail::check_cuda(cudaGetDevice(&number), "CudaDevice: no GPU to work on: cudaGetDevice");
      const auto attribute = [number](int& value, cudaDeviceAttr which) {
        detail::check_cuda(cudaDeviceGetAttribute(&value, which, number), "cudaDeviceGetAttribute");
      };
      attribute(multiprocessors, cudaDevAttrMultiProcessorCount);
      attribute(shared_memory.whole, cudaDevAttrMaxSharedMemoryPerMultiprocessor);
      attribute(shared_memory.block, cudaDevAttrMaxSharedMemoryPerBlockOptin);
      attribute(shared_memory.reserved, cudaDevAttrReservedSharedMemoryPerBlock);
      attribute(cooperative, cudaDevAttrCooperativeLaunch);
      attribute(clusters, cudaDevAttrClusterLaunch);
      detail::check_cuda(cudaMallocHost(&seen, sizeof(int)), "cudaMallocHost");
      faults = detail::allocate_cuda<int>(1);
      detail::check_cuda(cudaMemsetAsync(faults, 0, sizeof(int), stream), "cudaMemsetAsync");
    }
    Resources(const Resources&) = delete;
    ~Resources() {
      if (cublas != nullptr) cublasDestroy(cublas);
      cudaFree(cublas_workspace);
      cudaFree(faults);
      cudaFreeHost(seen);
    }

    cudaStream_t stream;
    CudaProducts products;
    int multiprocessors = 0, cooperative = 0, clusters = 0;
    SharedMemory shared_memory;
    int* faults = nullptr;
    int* seen = nullptr;  // pinned
    cublasHandle_t cublas = nullptr;
    char* cublas_workspace = nullptr;
    std::map<std::type_index, std::shared_ptr<void>> kept;
    std::vector<std::function<bool()>> watches;
  };

  std::shared_ptr<Resources> resources_;
};

/// A number that the GPU writes to the host's memory. Reading it synchronizes the device, and throws what that throws.
/// A copy reads.
template <class T>
class CudaValue {
 public:
  CudaValue(T known = {}) : known_(known) {}
  CudaValue(CudaValue&&) noexcept = default;
  CudaValue& operator=(CudaValue&&) noexcept = default;
  CudaValue(const CudaValue& other) : known_(other) {}
  CudaValue& operator=(const CudaValue& other) { return *this = CudaValue(other); }

  operator T() const {
    if (slot_ == nullptr) return known_;
    device_->synchronize();
    return *slot_;
  }

  /// Where kernels on the device's stream write it; allocated by the first call.
  T* slot(const CudaDevice& device) {
    device_ = device;
    if (slot_ == nullptr) {
      T* pinned = nullptr;
      detail::check_cuda(cudaMallocHost(&pinned, sizeof(T)), "cudaMallocHost");
      *pinned = known_;
      slot_.reset(pinned);
    }
    return slot_.get();
  }

 private:
  struct Free {
    void operator()(T* pinned) const { cudaFreeHost(pinned); }
  };

  std::unique_ptr<T, Free> slot_;
  std::optional<CudaDevice> device_;
  T known_;
};

namespace detail {

/// Copies from the host's memory on the device's stream, and waits.
template <class T>
void upload(const CudaDevice& device, const T* host, Index count, T* to) {
  device.wait();  // a copy of pageable memory waits by itself, which nothing would end
  check_cuda(
      cudaMemcpyAsync(to, host, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyHostToDevice, device.stream()),
      "cudaMemcpyAsync");
  device.wait();
}
/// Copies to the host's memory on the device's stream, and waits; see CudaDevice::synchronize for what it throws.
template <class T>
void download(const CudaDevice& device, const T* from, Index count, T* host) {
  device.wait();
  check_cuda(
      cudaMemcpyAsync(host, from, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyDeviceToHost, device.stream()),
      "cudaMemcpyAsync");
  device.synchronize();
}

/// What a kernel is launched with beside its grid.
struct LaunchOptions {
  std::size_t shared_bytes = 0;  ///< of dynamic shared memory, for each block
  bool cooperative = false;      ///< all blocks at once, so that they may wait for each other
  int cluster_blocks = 0;        ///< of a cluster, where the kernel has any; the grid is whole clusters
};

/// The same with its grid as CUDA takes it, on the device's stream.
class LaunchConfig {
 public:
  LaunchConfig(const CudaDevice& device, const LaunchOptions& options, Index blocks, int threads) {
    config_.gridDim = dim3(static_cast<unsigned>(blocks));
    config_.blockDim = dim3(static_cast<unsigned>(threads));
    config_.dynamicSmemBytes = options.shared_bytes;
    config_.stream = device.stream();
    config_.attrs = attributes_;
    if (options.cooperative) {
      cudaLaunchAttribute& attribute = attributes_[config_.numAttrs++];
      attribute.id = cudaLaunchAttributeCooperative;
      attribute.val.cooperative = 1;
    }
    if (options.cluster_blocks > 0) {
      cudaLaunchAttribute& attribute = attributes_[config_.numAttrs++];
      attribute.id = cudaLaunchAttributeClusterDimension;
      attribute.val.clusterDim.x = static_cast<unsigned>(options.cluster_blocks);
      attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    }
  }
  LaunchConfig(const LaunchConfig&) = delete;

  [[nodiscard]] const cudaLaunchConfig_t* get() const { return &config_; }

 private:
  cudaLaunchAttribute attributes_[2]{};
  cudaLaunchConfig_t config_{};
};

/// Enqueues a kernel on the device's stream.
template <class... Parameters, class... Arguments>
void launch(const CudaDevice& device, LaunchOptions options, Index blocks, int threads, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  if (blocks == 0) return;
  const LaunchConfig config(device, options, blocks, threads);
  check_cuda(cudaLaunchKernelEx(config.get(), kernel, Parameters(std::forward<Arguments>(arguments))...),
             "cudaLaunchKernelEx");
}
template <class... Parameters, class... Arguments>
void launch(const CudaDevice& device, Index blocks, int threads, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  launch(device, LaunchOptions{}, blocks, threads, kernel, std::forward<Arguments>(arguments)...);
}

}  // namespace detail
}  // namespace swav
