// Network and FeatureExtractor: checks around what an engine does. In: an Architecture and groups. Out: see the header.
#include "model/network.hpp"

#include <sstream>
#include <utility>

#include "model/network_implementation.hpp"
#include "swav/core/error.hpp"

namespace swav::resnet {
namespace {

std::unique_ptr<Network::Implementation> make_network(const NetworkDescription& description, std::uint64_t seed,
                                                      Processor processor) {
  return processor == Processor::cuda ? make_cuda_network(description, seed) : make_cpu_network(description, seed);
}

}  // namespace

NetworkDescription::NetworkDescription(const Architecture& wanted, std::vector<ImageGroup> wanted_groups,
                                       Precision stored, Gradients wanted_gradients, RankGroup all_ranks)
    : architecture(wanted),
      groups(std::move(wanted_groups)),
      precision(stored),
      gradients(wanted_gradients),
      ranks(std::move(all_ranks)),
      plan(plan_trunk(wanted)) {
  check_groups(architecture, groups, ranks.size());
  for (const ImageGroup& group : groups) rows += group.images;
  columns = architecture.head ? architecture.embedding : plan.features;
}

Network::Network(const Architecture& architecture, std::vector<ImageGroup> groups, Precision precision,
                 std::uint64_t seed, Gradients gradients, RankGroup ranks, Processor processor)
    : processor_(processor),
      implementation_(
          make_network({architecture, std::move(groups), precision, gradients, std::move(ranks)}, seed, processor)) {}
Network::~Network() = default;

std::span<float> Network::input(std::size_t group) {
  detail::require(group < groups(), "input: group ", group, " found, less than ", groups(), " wanted");
  return implementation_->input(group);
}

ImageMemory Network::images(std::size_t group) {
  detail::require(group < groups(), "images: group ", group, " found, less than ", groups(), " wanted");
  return implementation_->images(group);
}

MatrixView<const float> Network::forward() {
  implementation_->forward_done = true;
  return implementation_->forward();
}

void Network::backward(MatrixView<const float> grad_embeddings) {
  const NetworkDescription& self = implementation_->description;
  detail::require(grad_embeddings.rows == self.rows && grad_embeddings.cols == self.columns,
                  "grad_embeddings: ", grad_embeddings.rows, " x ", grad_embeddings.cols, " found, ", self.rows, " x ",
                  self.columns, " wanted");
  detail::require(self.gradients == Gradients::computed,
                  "backward: a network without gradients found, one with wanted");
  detail::require(implementation_->forward_done, "backward: no forward() since the last backward() found, one wanted");
  implementation_->forward_done = false;
  implementation_->backward(grad_embeddings);
}

std::vector<NamedTensor>& Network::tensors() { return implementation_->weights.tensors(); }
std::vector<NamedTensor>& Network::parameters() { return implementation_->parameters(); }
std::span<float> Network::gradients() { return implementation_->gradients(); }
void Network::upload() { implementation_->upload(); }
void Network::download() { implementation_->download(); }
const Architecture& Network::architecture() const { return implementation_->description.architecture; }
std::size_t Network::groups() const { return implementation_->description.groups.size(); }
Index Network::rows() const { return implementation_->description.rows; }
Index Network::embedding_dimension() const { return implementation_->description.columns; }
Index Network::feature_dimension() const { return implementation_->description.plan.features; }
std::size_t Network::activation_bytes() const { return implementation_->program().arena_bytes(); }
void Network::set_profiling(bool on) { implementation_->program().set_profiling(on); }
std::vector<Program::StepTime> Network::step_times() const { return implementation_->program().profile(); }

std::string Network::describe() const {
  const NetworkDescription& self = implementation_->description;
  std::size_t parameters = 0;
  for (const NamedTensor& tensor : implementation_->weights.tensors()) parameters += tensor.gradient.size();
  std::ostringstream text;
  text.precision(3);
  text << "ResNet-" << self.architecture.depth << ", width " << self.architecture.width << ", "
       << (self.architecture.small_stem ? "3x3 stem" : "ImageNet stem") << ", "
       << static_cast<double>(parameters) * 1e-6 << " M parameters";
  for (const ImageGroup& group : self.groups)
    text << ", " << group.images << " x " << self.architecture.channels << " x " << group.size << " x " << group.size;
  text << ", " << (self.precision == Precision::bfloat16 ? "bfloat16" : "float32") << ", "
       << static_cast<double>(activation_bytes()) / (1 << 20) << " MiB of activations"
       << (processor_ == Processor::cuda ? " on the GPU" : "");
  return text.str();
}

FeatureExtractor::FeatureExtractor(Network& trained, ImageGroup batch, Precision precision)
    : processor_(trained.processor()), feature_dimension_(trained.feature_dimension()) {
  detail::require(batch.images > 0 && batch.size > 0, "batch: ", batch.images, " images of ", batch.size,
                  " pixels a side found, at least one of each wanted");
  implementation_ = trained.implementation_->extractor(batch, precision);
}
FeatureExtractor::~FeatureExtractor() = default;

std::span<float> FeatureExtractor::input() { return implementation_->input(); }
ImageMemory FeatureExtractor::images() { return implementation_->images(); }
void FeatureExtractor::compute() { implementation_->compute(); }
MatrixView<const float> FeatureExtractor::features() { return implementation_->features(); }
void FeatureExtractor::refresh() { implementation_->refresh(); }

}  // namespace swav::resnet
