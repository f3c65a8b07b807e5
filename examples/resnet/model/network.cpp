// Network and FeatureExtractor: trunks, head and their programs. In: an Architecture and groups. Out: see the header.
#include "model/network.hpp"

#include <algorithm>
#include <deque>
#include <sstream>
#include <utility>

#include "engine/linear.hpp"
#include "model/trunk.hpp"
#include "swav/core/error.hpp"

namespace swav::resnet {
namespace {

std::vector<float> image_storage(const Architecture& architecture, ImageGroup group) {
  return std::vector<float>(static_cast<std::size_t>(group.images * architecture.channels * group.size * group.size));
}

std::size_t float_bytes(Index rows, Index cols) { return static_cast<std::size_t>(rows * cols) * sizeof(float); }

/// The projection head, in float on the rows of all groups.
class Head {
 public:
  Head(Program& program, Weights& weights, Index rows, Index in, Index hidden, Index out, Buffer* features,
       Buffer* embeddings)
      : in_(in),
        rows_(rows),
        features_(features),
        norm_parameters_(norm_arrays(weights)),
        norm_(norm_parameters_, {rows, hidden, 1, Blocking::channels_last}, Precision::float32, program.threads()),
        first_("projection_head.0", rows, in, hidden, linear_arrays(weights, "projection_head.0")),
        second_("projection_head.3", rows, hidden, out, linear_arrays(weights, "projection_head.3")),
        hidden_(program.buffer(float_bytes(rows, hidden))),
        activated_(program.buffer(float_bytes(rows, hidden))) {
    first_.forward(program, features, hidden_);
    norm_.statistics(program, hidden_);
    norm_.relu(program, hidden_, {}, activated_);
    second_.forward(program, activated_, embeddings);
  }

  /// Returns the gradient of the features.
  Buffer* backward(Program& program, Buffer* grad_embeddings, Index hidden) {
    second_.backward_weights(program, activated_, grad_embeddings);
    Buffer* grad_hidden = program.buffer(float_bytes(rows_, hidden));
    second_.backward_data(program, grad_embeddings, grad_hidden);
    norm_.backward(program, hidden_, grad_hidden, grad_hidden);
    first_.backward_weights(program, features_, grad_hidden);
    Buffer* grad_features = program.buffer(float_bytes(rows_, in_));
    first_.backward_data(program, grad_hidden, grad_features);
    return grad_features;
  }

 private:
  static NormArrays norm_arrays(Weights& weights) {
    const std::string name = "projection_head.1";
    NamedTensor& scale = weights[name + ".weight"];
    NamedTensor& shift = weights[name + ".bias"];
    return {name,
            scale.value,
            shift.value,
            weights[name + ".running_mean"].value,
            weights[name + ".running_var"].value,
            scale.gradient,
            shift.gradient};
  }
  static Linear::Arrays linear_arrays(Weights& weights, const std::string& name) {
    NamedTensor& weight = weights[name + ".weight"];
    NamedTensor& bias = weights[name + ".bias"];
    return {weight.value, bias.value, weight.gradient, bias.gradient};
  }

  Index in_, rows_;
  Buffer* features_;
  NormParameters norm_parameters_;
  BatchNorm norm_;
  Linear first_, second_;
  Buffer *hidden_, *activated_;
};

}  // namespace

struct Network::Implementation {
  Architecture architecture;
  std::vector<ImageGroup> groups;
  Precision precision;
  Gradients gradients;
  TrunkPlan plan;
  Weights weights;
  std::vector<std::vector<float>> images;
  Program program;
  TrunkParameters parameters;
  std::deque<Trunk> trunks;
  std::unique_ptr<Head> head;
  Index rows = 0;
  Index columns = 0;
  Buffer* embeddings = nullptr;
  Buffer* grad_embeddings = nullptr;
  bool forward_done = false;

  Implementation(const Architecture& wanted, std::vector<ImageGroup> wanted_groups, Precision stored,
                 std::uint64_t seed, Gradients gradients_wanted, RankGroup ranks)
      : architecture(wanted),
        groups(std::move(wanted_groups)),
        precision(stored),
        gradients(gradients_wanted),
        plan(plan_trunk(wanted)),
        weights((check_groups(wanted, groups, ranks.size()), wanted), plan, seed),
        program(std::move(ranks)),
        parameters(plan, weights, true) {
    for (const ImageGroup& group : groups) {
      images.push_back(image_storage(architecture, group));
      rows += group.images;
    }
    columns = architecture.head ? architecture.embedding : plan.features;
    embeddings = program.kept_buffer(float_bytes(rows, columns));
    grad_embeddings = program.kept_buffer(float_bytes(rows, columns));
    Buffer* features = architecture.head ? program.buffer(float_bytes(rows, plan.features)) : embeddings;
    Index row = 0;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      trunks.emplace_back(program, parameters, groups[g], precision, Trunk::Mode::training,
                          TrunkEnds{program.external(images[g].data()), features, row});
      row += groups[g].images;
    }
    if (architecture.head)
      head = std::make_unique<Head>(program, weights, rows, plan.features, architecture.head_hidden,
                                    architecture.embedding, features, embeddings);
    if (gradients == Gradients::computed) add_backward();
    program.finish();
  }

  void add_backward() {
    Buffer* grad_features = grad_embeddings;
    if (architecture.head) grad_features = head->backward(program, grad_embeddings, architecture.head_hidden);
    // The last group's activations are the freshest in cache, and their memory serves the groups before it.
    for (auto trunk = trunks.rbegin(); trunk != trunks.rend(); ++trunk) trunk->backward(program, grad_features);
  }
};

Network::Network(const Architecture& architecture, std::vector<ImageGroup> groups, Precision precision,
                 std::uint64_t seed, Gradients gradients, RankGroup ranks)
    : implementation_(std::make_unique<Implementation>(architecture, std::move(groups), precision, seed, gradients,
                                                       std::move(ranks))) {}
Network::~Network() = default;

std::span<float> Network::input(std::size_t group) {
  detail::require(group < implementation_->images.size(), "input: group ", group, " found, less than ",
                  implementation_->images.size(), " wanted");
  return implementation_->images[group];
}

MatrixView<const float> Network::forward() {
  Implementation& self = *implementation_;
  self.program.run(Section::forward);
  self.forward_done = true;
  return {self.embeddings->as<float>(), self.rows, self.columns};
}

void Network::backward(MatrixView<const float> grad_embeddings) {
  Implementation& self = *implementation_;
  detail::require(grad_embeddings.rows == self.rows && grad_embeddings.cols == self.columns,
                  "grad_embeddings: ", grad_embeddings.rows, " x ", grad_embeddings.cols, " found, ", self.rows, " x ",
                  self.columns, " wanted");
  detail::require(self.gradients == Gradients::computed,
                  "backward: a network without gradients found, one with wanted");
  detail::require(self.forward_done, "backward: no forward() since the last backward() found, one wanted");
  self.forward_done = false;
  for (Index r = 0; r < self.rows; ++r)
    std::copy_n(grad_embeddings.row(r), self.columns, self.grad_embeddings->as<float>() + r * self.columns);
  self.program.run(Section::backward);
}

std::vector<NamedTensor>& Network::tensors() { return implementation_->weights.tensors(); }
std::span<float> Network::gradients() { return implementation_->weights.gradients(); }
const Architecture& Network::architecture() const { return implementation_->architecture; }
std::size_t Network::groups() const { return implementation_->groups.size(); }
Index Network::rows() const { return implementation_->rows; }
Index Network::embedding_dimension() const { return implementation_->columns; }
Index Network::feature_dimension() const { return implementation_->plan.features; }
std::size_t Network::activation_bytes() const { return implementation_->program.arena_bytes(); }
void Network::set_profiling(bool on) { implementation_->program.set_profiling(on); }
std::vector<Program::StepTime> Network::step_times() const { return implementation_->program.profile(); }

std::string Network::describe() const {
  const Implementation& self = *implementation_;
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
       << static_cast<double>(activation_bytes()) / (1 << 20) << " MiB of activations";
  return text.str();
}

struct FeatureExtractor::Implementation {
  TrunkPlan plan;
  Index rows;
  std::vector<float> images;
  Program program;
  TrunkParameters parameters;
  Buffer* features;
  std::unique_ptr<Trunk> trunk;

  Implementation(Network::Implementation& trained, ImageGroup batch, Precision precision)
      : plan(trained.plan),
        rows(batch.images),
        images((detail::require(batch.images > 0 && batch.size > 0, "batch: ", batch.images, " images of ", batch.size,
                                " pixels a side found, at least one of each wanted"),
                image_storage(trained.architecture, batch))),
        parameters(plan, trained.weights, false),
        features(program.kept_buffer(float_bytes(batch.images, plan.features))) {
    trunk = std::make_unique<Trunk>(program, parameters, batch, precision, Trunk::Mode::evaluation,
                                    TrunkEnds{program.external(images.data()), features, 0});
    program.finish();
    program.run(Section::prepare);
  }
};

FeatureExtractor::FeatureExtractor(Network& trained, ImageGroup batch, Precision precision)
    : implementation_(std::make_unique<Implementation>(*trained.implementation_, batch, precision)) {}
FeatureExtractor::~FeatureExtractor() = default;

Index FeatureExtractor::feature_dimension() const { return implementation_->plan.features; }
std::span<float> FeatureExtractor::input() { return implementation_->images; }

MatrixView<const float> FeatureExtractor::features() {
  Implementation& self = *implementation_;
  self.program.run(Section::forward);
  return {self.features->as<float>(), self.rows, self.plan.features};
}

void FeatureExtractor::refresh() { implementation_->program.run(Section::prepare); }

}  // namespace swav::resnet
