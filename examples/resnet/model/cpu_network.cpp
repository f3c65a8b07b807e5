// The networks of the CPU. In: descriptions. Out: networks on oneDNN.
#include "engine/dnnl_engine.hpp"
#include "model/basic_network.hpp"
#include "swav/core/error.hpp"

namespace swav::resnet {

std::unique_ptr<Network::Implementation> make_cpu_network(const NetworkDescription& description, std::uint64_t seed) {
  try {
    return std::make_unique<BasicNetwork<DnnlEngine>>(description, seed);
  } catch (const dnnl::error& error) {
    if (description.precision != Precision::bfloat16 || error.status != dnnl_unimplemented) throw;
    throw InvalidInput("--precision: bfloat16 found, which oneDNN cannot compute on this CPU; float32 wanted");
  }
}

}  // namespace swav::resnet
