// Images of the host on their way to the GPU. In: batches in pinned memory. Out: the same in the GPU's memory, copied
// on a stream of their own, beside the work of the trainer's.
//
// Batches take turns in two places on the GPU. The trainer's stream waits for the copy; the copy waits for what has
// been done with the batch that had its place; the host waits for the copy of the last batch before it writes the next.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "engine/cuda/device.cuh"
#include "engine/cuda/host_memory.cuh"
#include "train/packed_images.hpp"

namespace swav::resnet::cuda {

class ImageUpload {
 public:
  ImageUpload() = default;
  ImageUpload(const ImageUpload&) = delete;
  /// Waits for copies from memory that may be freed next.
  ~ImageUpload() { cudaStreamSynchronize(copies_.get()); }

  /// Where batches are to lie, for copies that the host does not wait for.
  static HostMemory pinned_memory(std::size_t bytes) {
    std::uint8_t* made = nullptr;
    swav::detail::check_cuda(cudaMallocHost(&made, bytes), "cudaMallocHost of ", bytes / 1048576, " MiB");
    return {made, [](std::uint8_t* memory) { cudaFreeHost(memory); }};
  }

  /// Returns once the host may write where the last batch lay.
  void wait() const { swav::detail::check_cuda(cudaEventSynchronize(copied_.get()), "cudaEventSynchronize"); }

  /// A place for the next batch, which work of bringer() may fill from now on.
  [[nodiscard]] std::uint8_t* begin(Index bytes) {
    Place& place = places_[turn_];
    std::uint8_t* const to = place.pixels.reserve_ahead(bytes);
    swav::detail::check_cuda(cudaStreamWaitEvent(copies_.get(), place.used.get(), 0), "cudaStreamWaitEvent");
    return to;
  }
  /// Enqueues a copy there.
  void copy(std::span<const std::uint8_t> from, std::uint8_t* to) const {
    swav::detail::check_cuda(cudaMemcpyAsync(to, from.data(), from.size(), cudaMemcpyHostToDevice, copies_.get()),
                             "cudaMemcpyAsync");
  }
  /// For what else may bring pixels.
  [[nodiscard]] const CudaDevice& bringer() const { return bringer_; }
  /// What is enqueued next on the trainer's stream finds all of the batch, until release().
  void finish() const {
    using swav::detail::check_cuda;
    check_cuda(cudaEventRecord(copied_.get(), copies_.get()), "cudaEventRecord");
    check_cuda(cudaStreamWaitEvent(device_.stream(), copied_.get(), 0), "cudaStreamWaitEvent");
  }
  /// A batch that is copied as it is.
  [[nodiscard]] const std::uint8_t* upload(std::span<const std::uint8_t> batch) {
    std::uint8_t* const to = begin(static_cast<Index>(batch.size()));
    copy(batch, to);
    finish();
    return to;
  }

  /// What reads the batch has been enqueued.
  void release() {
    swav::detail::check_cuda(cudaEventRecord(places_[turn_].used.get(), device_.stream()), "cudaEventRecord");
    turn_ = 1 - turn_;
  }

 private:
  struct Place {
    CudaBuffer<std::uint8_t> pixels;
    Event used = make_event();
  };
  struct DestroyStream {
    void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  };
  using Stream = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, DestroyStream>;

  static Stream make_stream() {
    cudaStream_t made = nullptr;
    swav::detail::check_cuda(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return Stream(made);
  }

  CudaDevice device_ = trainer_device();
  Event copied_ = make_event();
  Stream copies_ = make_stream();
  CudaDevice bringer_{copies_.get()};
  Place places_[2];
  int turn_ = 0;
};

}  // namespace swav::resnet::cuda
