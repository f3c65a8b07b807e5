// A backbone as an ONNX model. In: a network from a file, a classifier or none. Out: a .onnx file.
#pragma once

#include <optional>
#include <string>

#include "export/classifier.hpp"
#include "model/stored_network.hpp"

namespace swav::resnet {

/// Input "images": batch x channels x height x width, float, normalised as the network was trained; batch, height and
/// width are free. Outputs: "features", batch x features, after global pooling; and "scores", batch x classes, with a
/// classifier. Batch norms use the running statistics. Operators of ONNX's set 17 (IR version 8): Conv,
/// BatchNormalization, Relu, MaxPool, Add, GlobalAveragePool, Flatten, Gemm. Throws InvalidInput for a network beyond
/// the 2 GiB that an ONNX file may have.
void write_onnx(const std::string& path, const StoredNetwork& network, const std::optional<Classifier>& classifier);

}  // namespace swav::resnet
