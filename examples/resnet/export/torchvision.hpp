// A backbone for torchvision. In: a network from a file, a classifier or none. Out: a safetensors file whose names,
// shapes and types are those of torchvision's state dictionary.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "export/classifier.hpp"
#include "model/stored_network.hpp"

namespace swav::resnet {

/// Every parameter and buffer of the trunk: num_batches_tracked too, 0, which nothing reads at PyTorch's momentum; and
/// "fc" if there is a classifier. torchvision's model of that depth loads it with strict=True unless
/// difference_from_torchvision says more.
void write_torchvision(const std::string& path, const StoredNetwork& network,
                       const std::optional<Classifier>& classifier);

/// Empty if the trunk is one that torchvision.models builds by name, else how it differs from that.
[[nodiscard]] std::string difference_from_torchvision(const Architecture& architecture);

}  // namespace swav::resnet
