// The networks of a GPU, in a build without CUDA. In: anything. Out: InvalidInput.
#include "model/network_implementation.hpp"
#include "model/without_cuda.hpp"

namespace swav::resnet {

std::unique_ptr<Network::Implementation> make_cuda_network(const NetworkDescription&, std::uint64_t) { refuse_cuda(); }

}  // namespace swav::resnet
