// The networks of a GPU. In: descriptions. Out: networks on cuDNN.
#include "engine/cuda/engine.cuh"
#include "model/basic_network.hpp"

namespace swav::resnet {

std::unique_ptr<Network::Implementation> make_cuda_network(const NetworkDescription& description, std::uint64_t seed) {
  return std::make_unique<BasicNetwork<CudaEngine>>(description, seed);
}

}  // namespace swav::resnet
