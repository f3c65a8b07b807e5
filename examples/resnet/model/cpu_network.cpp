// The networks of the CPU. In: descriptions. Out: networks on oneDNN.
#include "engine/dnnl_engine.hpp"
#include "model/basic_network.hpp"

namespace swav::resnet {

std::unique_ptr<Network::Implementation> make_cpu_network(const NetworkDescription& description, std::uint64_t seed) {
  return std::make_unique<BasicNetwork<DnnlEngine>>(description, seed);
}

}  // namespace swav::resnet
