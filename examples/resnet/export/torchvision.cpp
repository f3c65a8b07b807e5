// torchvision's state dictionary. In: tensors under our names, which are torchvision's. Out: the file.
#include "export/torchvision.hpp"

#include "swav/core/error.hpp"

namespace swav::resnet {

void write_torchvision(const std::string& path, const StoredNetwork& network,
                       const std::optional<Classifier>& classifier) {
  std::vector<StoredTensor> tensors;
  const auto add = [&](const std::string& name) {
    const StoredNetwork::Tensor& tensor = network[name];
    tensors.push_back(stored_tensor<float>(name, tensor.shape, tensor.values));
  };
  const std::int64_t batches = 0;
  for_each_unit(plan_trunk(network.architecture()), [&](const UnitPlan& unit) {
    add(unit.convolution + ".weight");
    for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) add(unit.norm + part);
    tensors.push_back(stored_tensor<std::int64_t>(unit.norm + ".num_batches_tracked", {},
                                                  VectorView<const std::int64_t>(&batches, 1)));
  });
  if (classifier) {
    tensors.push_back(
        stored_tensor<float>("fc.weight", {classifier->classes, classifier->features}, classifier->weight));
    tensors.push_back(stored_tensor<float>("fc.bias", {classifier->classes}, classifier->bias));
  }
  write_safetensors(path, tensors, {{"format", "pt"}});
}

std::string difference_from_torchvision(const Architecture& architecture) {
  std::string differences;
  const auto differs = [&](bool found, const std::string& text) {
    if (found) differences += (differences.empty() ? "" : ", ") + text;
  };
  differs(architecture.depth == 10, "depth 10");
  differs(architecture.width != 64, "width " + std::to_string(architecture.width));
  differs(architecture.small_stem, "a 3x3 stem without pooling");
  differs(architecture.channels != 3, std::to_string(architecture.channels) + " channel(s)");
  return differences;
}

}  // namespace swav::resnet
