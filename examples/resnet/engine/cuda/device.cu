// The trainer's stream and handles. In: nothing. Out: objects that live as long as the process: at its end the driver
// may be gone before them.
#include "engine/cuda/device.cuh"

namespace swav::resnet::cuda {
namespace {

AlgorithmChoice chosen = AlgorithmChoice::heuristics;

}  // namespace

AlgorithmChoice algorithm_choice() { return chosen; }
void set_algorithm_choice(AlgorithmChoice choice) { chosen = choice; }

const CudaDevice& trainer_device() {
  static const CudaDevice& device = []() -> const CudaDevice& {
    cudaStream_t stream = nullptr;
    swav::detail::check_cuda(cudaStreamCreate(&stream), "--device cuda: no GPU to work on: cudaStreamCreate");
    return *new CudaDevice(stream);
  }();
  return device;
}

cudnnHandle_t trainer_cudnn() {
  thread_local const cudnnHandle_t handle = [] {
    const CudaDevice& device = trainer_device();
    cudnnHandle_t created = nullptr;
    check_cudnn(cudnnCreate(&created), "cudnnCreate");
    check_cudnn(cudnnSetStream(created, device.stream()), "cudnnSetStream");
    return created;
  }();
  return handle;
}

}  // namespace swav::resnet::cuda
