// The networks of a GPU, in a build without CUDA. In: anything. Out: InvalidInput.
#include "model/network_implementation.hpp"
#include "swav/core/error.hpp"

namespace swav::resnet {

std::unique_ptr<Network::Implementation> make_cuda_network(const NetworkDescription&, std::uint64_t) {
  throw InvalidInput(
      "--device: cuda found, which this build is without; cpu, or a build with -DSWAV_WITH_CUDA=ON wanted");
}

}  // namespace swav::resnet
