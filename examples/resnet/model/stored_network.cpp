// Reads the layouts that weights come in. In: a file. Out: an Architecture and its tensors.
#include "model/stored_network.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <set>
#include <string_view>

#include "swav/backend/eigen/scalar.hpp"

namespace swav::resnet {
namespace {

template <class T>
std::vector<float> as_floats(std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = static_cast<float>(value);
  }
  return values;
}

std::vector<float> as_floats(const StoredTensor& tensor, const std::string& path) {
  switch (tensor.dtype) {
    case Dtype::f32:
      return as_floats<float>(tensor.bytes);
    case Dtype::f64:
      return as_floats<double>(tensor.bytes);
    case Dtype::f16:
      return as_floats<Eigen::half>(tensor.bytes);
    case Dtype::bf16:
      return as_floats<Eigen::bfloat16>(tensor.bytes);
    default:
      throw FileError(path, "tensor '" + tensor.name + "' is " + std::string(dtype_name(tensor.dtype)) +
                                " found, F32, F64, F16 or BF16 wanted");
  }
}

std::string shape_text(const std::vector<Index>& shape) {
  std::string text;
  for (const Index extent : shape) text += (text.empty() ? "" : " x ") + std::to_string(extent);
  return text.empty() ? "a single number" : text;
}

bool is_network_part(std::string_view name) {
  constexpr std::array parts{"conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.", "projection_head.", "fc."};
  return !name.ends_with(".num_batches_tracked") &&
         std::ranges::any_of(parts, [&](const char* part) { return name.starts_with(part); });
}

}  // namespace

StoredNetwork::StoredNetwork(const std::string& path)
    : path_(std::filesystem::is_directory(path) ? (std::filesystem::path(path) / "checkpoint.safetensors").string()
                                                : path) {
  const SafetensorsFile file(path_);
  metadata_ = file.metadata();
  std::map<std::pair<std::size_t, std::string>, Tensor> heads;  // by the names' lengths first: head 10 follows head 9
  for (const StoredTensor& tensor : file.tensors()) {
    std::string name = tensor.name;
    if (name.starts_with("module.")) name.erase(0, 7);
    const bool prototypes = name.starts_with("prototypes.") && name.ends_with(".weight");
    if (!prototypes && !is_network_part(name)) continue;
    Tensor read{tensor.shape, as_floats(tensor, path_)};
    if (prototypes)
      heads.emplace(std::pair(name.size(), name), std::move(read));
    else if (!tensors_.emplace(name, std::move(read)).second)
      throw FileError(path_, "has tensor '" + name + "' twice, with \"module.\" before it and without");
  }
  for (auto& [name, head] : heads) prototypes_.push_back(std::move(head));
  find_architecture();
  check_tensors();
}

void StoredNetwork::find_architecture() {
  const auto shape_of = [&](const std::string& name, std::size_t dimensions) -> const std::vector<Index>& {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw FileError(path_, "has no tensor '" + name + "', one of a ResNet wanted");
    if (found->second.shape.size() != dimensions)
      throw FileError(path_, "tensor '" + name + "' is " + shape_text(found->second.shape) + ", " +
                                 std::to_string(dimensions) + " dimensions wanted");
    return found->second.shape;
  };
  const std::vector<Index>& stem = shape_of("conv1.weight", 4);
  architecture_.width = static_cast<int>(stem[0]);
  architecture_.channels = static_cast<int>(stem[1]);
  architecture_.small_stem = stem[2] == 3;

  std::string blocks;
  for (int stage = 1; stage <= 4; ++stage) {
    int count = 0;
    while (tensors_.contains("layer" + std::to_string(stage) + "." + std::to_string(count) + ".conv1.weight")) ++count;
    blocks += (blocks.empty() ? "" : " ") + std::to_string(count);
  }
  const bool bottleneck = tensors_.contains("layer1.0.conv3.weight");
  if (!bottleneck && blocks == "1 1 1 1")
    architecture_.depth = 10;
  else if (!bottleneck && blocks == "2 2 2 2")
    architecture_.depth = 18;
  else if (!bottleneck && blocks == "3 4 6 3")
    architecture_.depth = 34;
  else if (bottleneck && blocks == "3 4 6 3")
    architecture_.depth = 50;
  else
    throw FileError(path_, blocks + (bottleneck ? " bottlenecks" : " basic blocks") +
                               " a stage found, those of ResNet-10, 18, 34 or 50 wanted");

  architecture_.head =
      std::ranges::any_of(tensors_, [](const auto& tensor) { return tensor.first.starts_with("projection_head."); });
  if (architecture_.head) {
    architecture_.head_hidden = static_cast<int>(shape_of("projection_head.0.weight", 2)[0]);
    architecture_.embedding = static_cast<int>(shape_of("projection_head.3.weight", 2)[0]);
  }
}

void StoredNetwork::check_tensors() const {
  TrunkPlan plan;
  try {
    plan = plan_trunk(architecture_);
  } catch (const InvalidInput& error) {
    throw FileError(path_, error.what());
  }
  std::set<std::string> known;
  const auto want = [&](const std::string& name, const std::vector<Index>& shape) {
    known.insert(name);
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw FileError(path_, "has no tensor '" + name + "'");
    if (found->second.shape != shape)
      throw FileError(
          path_, "tensor '" + name + "' is " + shape_text(found->second.shape) + ", " + shape_text(shape) + " wanted");
  };
  const auto want_norm = [&](const std::string& name, Index channels) {
    for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) want(name + part, {channels});
  };
  for_each_unit(plan, [&](const UnitPlan& unit) {
    want(unit.convolution + ".weight", {unit.out, unit.in, unit.kernel, unit.kernel});
    want_norm(unit.norm, unit.out);
  });
  if (architecture_.head) {
    const Index hidden = architecture_.head_hidden, embedding = architecture_.embedding;
    want("projection_head.0.weight", {hidden, plan.features});
    want("projection_head.0.bias", {hidden});
    want_norm("projection_head.1", hidden);
    want("projection_head.3.weight", {embedding, hidden});
    want("projection_head.3.bias", {embedding});
    for (const Tensor& head : prototypes_)
      if (head.shape.size() != 2 || head.shape[0] < 1 || head.shape[1] != embedding)
        throw FileError(path_, "prototypes of " + shape_text(head.shape) + " found, some x " +
                                   std::to_string(embedding) + " wanted");
  }
  if (has_classifier()) {
    const std::vector<Index>& shape = tensors_.at("fc.weight").shape;
    const Index classes = shape.empty() ? 0 : shape[0];
    want("fc.weight", {classes, plan.features});
    want("fc.bias", {classes});
  }
  for (const auto& [name, tensor] : tensors_)
    if (!known.contains(name)) throw FileError(path_, "has tensor '" + name + "', which no network known here has");
}

void StoredNetwork::copy_to(std::vector<NamedTensor>& tensors) const {
  for (const NamedTensor& tensor : tensors) {
    const auto found = tensors_.find(tensor.name);
    if (found == tensors_.end()) throw FileError(path_, "has no tensor '" + tensor.name + "'");
    if (found->second.shape != tensor.shape)
      throw FileError(path_, "tensor '" + tensor.name + "' is " + shape_text(found->second.shape) + ", " +
                                 shape_text(tensor.shape) + " wanted");
  }
  for (NamedTensor& tensor : tensors) std::ranges::copy(tensors_.at(tensor.name).values, tensor.value.begin());
}

std::unique_ptr<Network> StoredNetwork::network(const Architecture& architecture, std::vector<ImageGroup> groups,
                                                Precision precision, Processor processor) const {
  auto network = std::make_unique<Network>(architecture, std::move(groups), precision, 0, Gradients::computed,
                                           RankGroup(), processor);
  copy_to(network->tensors());
  network->upload();
  return network;
}

std::unique_ptr<Network> StoredNetwork::network_for_features(Precision precision, Processor processor) const {
  return network(architecture_, {{2, 8}}, precision, processor);
}

}  // namespace swav::resnet
