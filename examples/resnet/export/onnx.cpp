// ONNX's messages (onnx.proto of its version 1.12: field numbers as there) for a residual network.
#include "export/onnx.hpp"

#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "export/protobuf.hpp"
#include "swav/core/error.hpp"
#include "swav/io/atomic_file.hpp"

namespace swav::resnet {
namespace {

ProtobufMessage named_attribute(const char* name, std::int64_t type) {
  ProtobufMessage attribute;
  attribute.text(1, name);
  attribute.integer(20, type);
  return attribute;
}
ProtobufMessage attribute(const char* name, float value) {
  ProtobufMessage result = named_attribute(name, 1);
  result.decimal(2, value);
  return result;
}
ProtobufMessage attribute(const char* name, std::int64_t value) {
  ProtobufMessage result = named_attribute(name, 2);
  result.integer(3, value);
  return result;
}
ProtobufMessage attribute(const char* name, std::initializer_list<Index> values) {
  ProtobufMessage result = named_attribute(name, 7);
  for (const Index value : values) result.integer(8, value);
  return result;
}

/// A tensor's name, type and shape; an extent is a number or a name.
ProtobufMessage value_info(const std::string& name, const std::vector<std::pair<Index, const char*>>& extents) {
  ProtobufMessage shape;
  for (const auto& [number, free] : extents) {
    ProtobufMessage extent;
    if (free != nullptr)
      extent.text(2, free);
    else
      extent.integer(1, number);
    shape.message(1, extent);
  }
  ProtobufMessage tensor;
  tensor.integer(1, 1);  // float
  tensor.message(2, shape);
  ProtobufMessage type;
  type.message(1, tensor);
  ProtobufMessage info;
  info.text(1, name);
  info.message(2, type);
  return info;
}

/// The graph as it grows: each function adds a node and returns the name of its output.
class Graph {
 public:
  explicit Graph(const StoredNetwork& network) : network_(network) { graph_.text(2, "backbone"); }

  std::string unit(const UnitPlan& plan, const std::string& input, bool relu) {
    initializer(plan.convolution + ".weight");
    const Index pad = plan.kernel / 2;
    const std::string convolved =
        node("Conv", {input, plan.convolution + ".weight"}, plan.convolution,
             {attribute("kernel_shape", {plan.kernel, plan.kernel}), attribute("strides", {plan.stride, plan.stride}),
              attribute("pads", {pad, pad, pad, pad})});
    std::vector<std::string> inputs{convolved};
    for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) {
      initializer(plan.norm + part);
      inputs.push_back(plan.norm + part);
    }
    const std::string normalized = node("BatchNormalization", inputs, plan.norm, {attribute("epsilon", 1e-5f)});
    return relu ? node("Relu", {normalized}, plan.norm + ".relu", {}) : normalized;
  }

  std::string max_pool(const std::string& input) {
    return node("MaxPool", {input}, "maxpool",
                {attribute("kernel_shape", {3, 3}), attribute("strides", {2, 2}), attribute("pads", {1, 1, 1, 1})});
  }

  std::string block(const BlockPlan& plan, const std::string& input) {
    std::string current = input;
    for (const UnitPlan& planned : plan.units) current = unit(planned, current, &planned != &plan.units.back());
    const std::string joined = plan.downsample ? unit(*plan.downsample, input, false) : input;
    const std::string& name = plan.units.back().norm;
    return node("Relu", {node("Add", {current, joined}, name + ".sum", {})}, name + ".relu", {});
  }

  void features(const std::string& input, Index count) {
    node("Flatten", {node("GlobalAveragePool", {input}, "avgpool", {})}, "features",
         {attribute("axis", std::int64_t{1})});
    graph_.message(12, value_info("features", {{0, "batch"}, {count, nullptr}}));
  }

  void scores(const Classifier& classifier) {
    initializer("fc.weight", {classifier.classes, classifier.features}, classifier.weight);
    initializer("fc.bias", {classifier.classes}, classifier.bias);
    node("Gemm", {"features", "fc.weight", "fc.bias"}, "scores", {attribute("transB", std::int64_t{1})});
    graph_.message(12, value_info("scores", {{0, "batch"}, {classifier.classes, nullptr}}));
  }

  void images(Index channels) {
    graph_.message(11, value_info("images", {{0, "batch"}, {channels, nullptr}, {0, "height"}, {0, "width"}}));
  }

  [[nodiscard]] const ProtobufMessage& message() const { return graph_; }

 private:
  /// One output, which has the node's name.
  std::string node(const char* operation, const std::vector<std::string>& inputs, const std::string& name,
                   const std::vector<ProtobufMessage>& attributes) {
    ProtobufMessage message;
    for (const std::string& input : inputs) message.text(1, input);
    message.text(2, name);
    message.text(3, name);
    message.text(4, operation);
    for (const ProtobufMessage& one : attributes) message.message(5, one);
    graph_.message(1, message);
    return name;
  }

  void initializer(const std::string& name) { initializer(name, network_[name].shape, network_[name].values); }

  void initializer(const std::string& name, const std::vector<Index>& shape, std::span<const float> values) {
    ProtobufMessage tensor;
    for (const Index extent : shape) tensor.integer(1, extent);
    tensor.integer(2, 1);  // float
    tensor.text(8, name);
    tensor.text(9,
                {reinterpret_cast<const char*>(values.data()), values.size_bytes()});  // little-endian, as floats are
    graph_.message(5, tensor);
  }

  const StoredNetwork& network_;
  ProtobufMessage graph_;
};

}  // namespace

void write_onnx(const std::string& path, const StoredNetwork& network, const std::optional<Classifier>& classifier) {
  const TrunkPlan plan = plan_trunk(network.architecture());
  Graph graph(network);
  graph.images(plan.stem.in);
  std::string current = graph.unit(plan.stem, "images", true);
  if (plan.max_pool) current = graph.max_pool(current);
  for (const BlockPlan& block : plan.blocks) current = graph.block(block, current);
  graph.features(current, plan.features);
  if (classifier) graph.scores(*classifier);

  ProtobufMessage operators;
  operators.text(1, "");
  operators.integer(2, 17);
  ProtobufMessage model;
  model.integer(1, 8);
  model.text(2, "swav-export");
  model.message(7, graph.message());
  model.message(8, operators);
  detail::require(model.bytes().size() < std::size_t{1} << 31, "OUTPUT: a network of ", model.bytes().size() >> 20,
                  " MiB found, less than the 2048 of an ONNX file wanted");
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(model.bytes()))};
  write_file_atomically(path, parts);
}

}  // namespace swav::resnet
