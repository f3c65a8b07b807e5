// What goes between the host and the network on the GPU. In: tensors. Out: the same on the other side.
#pragma once

#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/cuda/program.cuh"
#include "model/weights.hpp"

namespace swav::resnet::cuda {

/// Memory of the host that the GPU copies from and to on its own.
class PinnedFloats {
 public:
  explicit PinnedFloats(std::size_t count) : count_(count) {
    float* allocated = nullptr;
    swav::detail::check_cuda(cudaMallocHost(&allocated, count * sizeof(float)), "cudaMallocHost of ",
                             count * sizeof(float) / 1048576, " MiB");
    memory_.reset(allocated);
  }
  [[nodiscard]] std::span<float> values() const { return {memory_.get(), count_}; }

 private:
  struct Free {
    void operator()(float* p) const { cudaFreeHost(p); }
  };
  std::unique_ptr<float, Free> memory_;
  std::size_t count_;
};

struct DestroyEvent {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
using Event = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, DestroyEvent>;

[[nodiscard]] inline Event make_event() {
  cudaEvent_t made = nullptr;
  swav::detail::check_cuda(cudaEventCreateWithFlags(&made, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  return Event(made);
}

/// The tensors in the GPU's memory, in one piece that is laid out as the host's.
class State {
 public:
  explicit State(Weights& weights) : host_(weights.storage()), tensors_(weights.tensors()), device_(trainer_device()) {
    float* const base = memory_.reserve(static_cast<Index>(host_.size()));
    for (NamedTensor& tensor : tensors_)
      for (std::span<float>* part : {&tensor.value, &tensor.gradient})
        if (!part->empty()) *part = {base + (part->data() - host_.data()), part->size()};
    gradients_ = {base + (weights.gradients().data() - host_.data()), weights.gradients().size()};
    upload();
  }
  State(const State&) = delete;

  [[nodiscard]] std::vector<NamedTensor>& tensors() { return tensors_; }
  [[nodiscard]] std::span<float> gradients() const { return gradients_; }
  void upload() const { copy(memory_.data(), host_.data(), cudaMemcpyHostToDevice); }
  void download() const { copy(host_.data(), memory_.data(), cudaMemcpyDeviceToHost); }

 private:
  void copy(float* to, const float* from, cudaMemcpyKind kind) const {
    using swav::detail::check_cuda;
    device_.wait();  // a copy of pageable memory waits by itself, which nothing would end
    check_cuda(cudaMemcpyAsync(to, from, host_.size_bytes(), kind, device_.stream()), "cudaMemcpyAsync");
    device_.wait();
  }

  std::span<float> host_;
  std::vector<NamedTensor> tensors_;
  CudaDevice device_;
  CudaBuffer<float> memory_;
  std::span<float> gradients_;
};

/// Results for the host.
class HostRows {
 public:
  /// Waits for them.
  [[nodiscard]] MatrixView<const float> fetch(const CudaProgram& program, const Buffer* from, Index rows, Index cols) {
    using swav::detail::check_cuda;
    const auto count = static_cast<std::size_t>(rows * cols);
    if (!host_) host_ = std::make_unique<PinnedFloats>(count);
    check_cuda(cudaMemcpyAsync(host_->values().data(), from->data(), count * sizeof(float), cudaMemcpyDeviceToHost,
                               program.device().stream()),
               "cudaMemcpyAsync");
    program.device().wait();
    return {host_->values().data(), rows, cols};
  }

 private:
  std::unique_ptr<PinnedFloats> host_;
};

}  // namespace swav::resnet::cuda
