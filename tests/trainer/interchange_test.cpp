// Networks from and for other programs. In: golden files of tests/golden/interchange.py. Out: the release's layout
// gives PyTorch's outputs, an exported file has torchvision's names, and what does not fit is refused by name.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "export/onnx.hpp"
#include "export/protobuf.hpp"
#include "export/torchvision.hpp"
#include "model/stored_network.hpp"
#include "report/prototypes.hpp"
#include "support.hpp"
#include "swav/backend/eigen/dtype.hpp"
#include "swav/core/error.hpp"
#include "swav/io/safetensors.hpp"
#include "train/checkpoint.hpp"
#include "train/run.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

const std::string golden_folder = SWAV_GOLDEN_DIR;
const std::string release_file = golden_folder + "/release_layout.safetensors";

/// The largest deviation from a tensor of the file, relative to its largest entry.
double deviation(MatrixView<const float> found, const SafetensorsFile& file, const std::string& name) {
  std::vector<float> wanted(static_cast<std::size_t>(found.size()));
  file.read(name, VectorView<float>(wanted));
  double largest = 0, scale = 0;
  for (Index r = 0; r < found.rows; ++r)
    for (Index c = 0; c < found.cols; ++c) {
      const double value = wanted[static_cast<std::size_t>(r * found.cols + c)];
      largest = std::max(largest, std::abs(static_cast<double>(found(r, c)) - value));
      scale = std::max(scale, std::abs(value));
    }
  return largest / scale;
}

void write_network(const std::string& path, Network& network, const std::string& prefix = "",
                   const std::set<std::string>& without = {}) {
  std::vector<StoredTensor> tensors;
  for (const NamedTensor& tensor : network.tensors())
    if (!without.contains(tensor.name))
      tensors.push_back(stored_tensor<float>(prefix + tensor.name, tensor.shape, tensor.value));
  write_safetensors(path, tensors);
}

template <class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a network of the SwAV release's layout gives PyTorch's features, embeddings and scores") {
  const StoredNetwork stored(release_file);
  const Architecture& a = stored.architecture();
  CHECK(a.depth == 10);
  CHECK(a.width == 8);
  CHECK_FALSE(a.small_stem);
  CHECK(a.channels == 3);
  CHECK(a.head_hidden == 24);
  CHECK(a.embedding == 12);
  REQUIRE(stored.prototypes().size() == 2);

  const SafetensorsFile outputs(golden_folder + "/release_outputs.safetensors");
  const std::unique_ptr<Network> network = stored.network_for_features(Precision::float32);
  FeatureExtractor extractor(*network, {5, 41}, Precision::float32);
  std::vector<Eigen::half> images(extractor.input().size());
  outputs.read("images", VectorView<Eigen::half>(images));
  std::ranges::transform(images, extractor.input().begin(), [](Eigen::half value) { return float(value); });
  extractor.compute();
  const MatrixView<const float> features = extractor.features();
  const RowMatrix<float> embeddings = project(*network, features);
  MESSAGE("features differ by " << deviation(features, outputs, "features") << ", embeddings by "
                                << deviation(embeddings, outputs, "embeddings") << " of the largest");
  CHECK(deviation(features, outputs, "features") < 1e-5);
  CHECK(deviation(embeddings, outputs, "embeddings") < 1e-5);
  for (std::size_t head = 0; head < 2; ++head) {
    const StoredNetwork::Tensor& prototypes = stored.prototypes()[head];
    CHECK(prototypes.shape == std::vector<Index>{head == 0 ? 10 : 7, 12});
    const Eigen::Map<const RowMatrix<float>> rows(prototypes.values.data(), prototypes.shape[0], 12);
    const RowMatrix<float> scores = embeddings * rows.transpose();
    CHECK(deviation(scores, outputs, "scores" + std::to_string(head)) < 1e-5);
  }
}

TEST_CASE("an exported file has the names, types and shapes of torchvision's state dictionary") {
  for (const int depth : {18, 34, 50}) {
    const TemporaryFolder folder;
    Network network(
        {.depth = depth, .width = 64, .small_stem = false, .channels = 3, .head_hidden = 16, .embedding = 8}, {{2, 8}},
        Precision::float32, 1);
    const std::string from = (folder / "from.safetensors").string(), to = (folder / "to.safetensors").string();
    write_network(from, network, "module.");
    const StoredNetwork stored(from);
    CHECK(stored.architecture().depth == depth);
    CHECK(difference_from_torchvision(stored.architecture()) == "");
    write_torchvision(to, stored, zero_classifier(1000, plan_trunk(stored.architecture()).features));

    std::set<std::string> wanted, found;
    std::ifstream names(golden_folder + "/torchvision_names.txt");
    const std::string model = "resnet" + std::to_string(depth) + " ";
    for (std::string line; std::getline(names, line);)
      if (line.starts_with(model)) wanted.insert(line.substr(model.size()));
    const SafetensorsFile file(to);
    for (const StoredTensor& tensor : file.tensors()) {
      std::ostringstream line;
      line << tensor.name << ' ' << dtype_name(tensor.dtype);
      for (const Index extent : tensor.shape) line << ' ' << extent;
      found.insert(line.str());
    }
    CHECK(wanted.size() > 100);
    CHECK(found == wanted);

    // And it is read here again, without a head and with the classifier.
    const StoredNetwork again(to);
    CHECK_FALSE(again.architecture().head);
    CHECK(again.has_classifier());
    for (const NamedTensor& tensor : network.tensors())
      if (!tensor.name.starts_with("projection_head."))
        CHECK_MESSAGE(std::ranges::equal(again[tensor.name].values, tensor.value), tensor.name);
  }
}

TEST_CASE("a classifier goes to a file and back, and one for other features is refused") {
  const TemporaryFolder folder;
  Classifier classifier = zero_classifier(3, 4);
  for (std::size_t i = 0; i < classifier.weight.size(); ++i) classifier.weight[i] = static_cast<float>(i) / 7;
  classifier.bias = {1, -2, 3};
  const std::string path = (folder / "fc.safetensors").string();
  write_classifier(path, classifier);
  const Classifier read = read_classifier(path, 4);
  CHECK(read.weight == classifier.weight);
  CHECK(read.bias == classifier.bias);
  CHECK_THROWS_AS((void)read_classifier(path, 5), FileError);
  CHECK_THROWS_AS((void)read_classifier(release_file, 64), FileError);
  CHECK_THROWS_AS((void)zero_classifier(0, 4), InvalidInput);
}

TEST_CASE("Protocol Buffers' documented examples are encoded as they are documented") {
  const auto bytes = [](const ProtobufMessage& message) {
    return std::vector<int>(message.bytes().begin(), message.bytes().end());
  };
  ProtobufMessage number, text, outer, rest;
  number.integer(1, 150);
  CHECK(bytes(number) == std::vector<int>{0x08, static_cast<char>(0x96), 0x01});
  text.text(2, "testing");
  CHECK(text.bytes() == "\x12\x07testing");
  outer.message(3, number);
  CHECK(bytes(outer) == std::vector<int>{0x1a, 0x03, 0x08, static_cast<char>(0x96), 0x01});
  rest.decimal(1, 1.0f);
  rest.integer(20, -1);
  CHECK(rest.bytes() == std::string("\x0d\0\0\x80\x3f", 5) + "\xa0\x01" + std::string(9, '\xff') + "\x01");
}

TEST_CASE("an ONNX file holds the network's parameters and its 20 convolutions") {
  const TemporaryFolder folder;
  Network network({.depth = 18, .width = 16, .channels = 1, .head_hidden = 8, .embedding = 4}, {{2, 8}},
                  Precision::float32, 1);
  const std::string from = (folder / "from.safetensors").string(), to = (folder / "to.onnx").string();
  write_network(from, network);
  const StoredNetwork stored(from);
  write_onnx(to, stored, zero_classifier(5, 128));
  const std::string file = read_text(to);
  const auto count = [&](const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = file.find(part); at != std::string::npos; at = file.find(part, at + 1)) ++found;
    return found;
  };
  CHECK(count("\x22\x04"
              "Conv") == 20);  // op_type
  CHECK(count("\x22\x03"
              "Add") == 8);
  CHECK(count("\x22\x07"
              "MaxPool") == 0);
  CHECK(count("\x22\x04"
              "Gemm") == 1);
  for (const NamedTensor& tensor : network.tensors()) {
    const auto* const values = reinterpret_cast<const char*>(tensor.value.data());
    if (!tensor.name.starts_with("projection_head."))
      CHECK_MESSAGE(has(file, std::string(values, tensor.value.size_bytes())), tensor.name);
  }
}

TEST_CASE("a file without a network, of an unknown one or with a part missing is refused by name") {
  const TemporaryFolder folder;
  const std::string path = (folder / "network.safetensors").string();
  const Architecture architecture{.depth = 10, .width = 16, .channels = 1, .head_hidden = 8, .embedding = 4};
  Network network(architecture, {{2, 8}}, Precision::float32, 1);
  const auto message = [&] { return message_of([&] { StoredNetwork{path}; }); };

  write_network(path, network);
  CHECK(message() == "no error");
  for (const char* name : {"conv1.weight", "layer1.0.bn2.running_var", "layer2.0.downsample.0.weight",
                           "projection_head.1.bias", "projection_head.3.weight"}) {
    write_network(path, network, "", {name});
    CHECK_MESSAGE(has(message(), std::string("has no tensor '") + name + "'"), message());
  }
  write_network(path, network, "", {"layer4.0.conv1.weight"});
  CHECK_MESSAGE(has(message(), "1 1 1 0 basic blocks a stage found"), message());

  std::vector<NamedTensor>& tensors = network.tensors();
  std::vector<StoredTensor> stored;
  for (const NamedTensor& tensor : tensors)
    stored.push_back(stored_tensor<float>(tensor.name, tensor.shape, tensor.value));
  stored.push_back(stored_tensor<float>("layer1.0.se.weight", tensors[1].shape, tensors[1].value));
  write_safetensors(path, stored);
  CHECK_MESSAGE(has(message(), "has tensor 'layer1.0.se.weight', which no network known here has"), message());
  stored.back() = stored_tensor<float>("prototypes.weight", tensors[1].shape, tensors[1].value);
  write_safetensors(path, stored);
  CHECK_MESSAGE(has(message(), "prototypes of 16 found, some x 4 wanted"), message());
  const std::vector<std::int64_t> integers(16);
  stored.back() = stored_tensor<std::int64_t>("bn1.weight", {16}, integers);
  std::erase_if(stored,
                [](const StoredTensor& tensor) { return tensor.name == "bn1.weight" && tensor.dtype == Dtype::f32; });
  write_safetensors(path, stored);
  CHECK_MESSAGE(has(message(), "tensor 'bn1.weight' is I64 found, F32"), message());

  write_safetensors(path, {});
  CHECK_MESSAGE(has(message(), "has no tensor 'conv1.weight', one of a ResNet wanted"), message());
  CHECK(has(message_of([&] { StoredNetwork{(folder / "none").string()}; }), "none"));
}

TEST_CASE("--init starts a run from another's weights, its head and prototypes included where they fit") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  TrainOptions options = tiny_options(folder / "data", folder / "first");
  options.max_steps = 3;
  options.evaluate = false;
  REQUIRE(run_training(options) == 0);

  TrainOptions next = tiny_options(folder / "data", folder / "second");
  next.seed = 9;
  next.epochs = 0;
  next.evaluate = false;
  next.init = (folder / "first").string();
  REQUIRE(run_training(next) == 0);
  const SafetensorsFile first(checkpoint_path(folder / "first")), second(checkpoint_path(folder / "second"));
  for (const StoredTensor& tensor : first.tensors())
    if (!tensor.name.starts_with("optimizer."))
      CHECK_MESSAGE(std::ranges::equal(tensor.bytes, second.at(tensor.name).bytes), tensor.name);

  next.output = (folder / "third").string();
  next.prototypes = 9;
  REQUIRE(run_training(next) == 0);
  const SafetensorsFile third(checkpoint_path(folder / "third"));
  for (const char* name : {"conv1.weight", "projection_head.3.bias"})
    CHECK_MESSAGE(std::ranges::equal(first.at(name).bytes, third.at(name).bytes), name);

  next.output = (folder / "fourth").string();
  next.hidden = 24;
  CHECK_MESSAGE(has(message_of([&] { run_training(next); }), "--init: a head of --hidden 16 --embedding 8 found, 24"),
                message_of([&] { run_training(next); }));
  next.depth = 18;
  CHECK_MESSAGE(has(message_of([&] { run_training(next); }), "--init: --depth 10 --width 16 --stem small"),
                message_of([&] { run_training(next); }));
  next.init = (folder / "nothing.safetensors").string();
  CHECK_THROWS_AS(run_training(next), FileError);
  CHECK_FALSE(has_checkpoint(folder / "fourth"));
}
