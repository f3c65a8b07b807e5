// Network and FeatureExtractor on any engine: trunks, head and their programs. In: a description, images. Out: see
// model/network.hpp.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "model/head.hpp"
#include "model/network_implementation.hpp"
#include "model/trunk.hpp"

namespace swav::resnet {

template <class Engine>
class BasicFeatureExtractor final : public FeatureExtractor::Implementation {
 public:
  BasicFeatureExtractor(const NetworkDescription& trained, std::vector<NamedTensor>& tensors, ImageGroup batch,
                        Precision precision)
      : rows_(batch.images),
        columns_(trained.plan.features),
        images_(program_, batch, trained.architecture.channels, precision),
        parameters_(trained.plan, tensors, false),
        features_(program_.kept_buffer(static_cast<std::size_t>(rows_ * columns_) * sizeof(float))),
        trunk_(program_, parameters_, batch, precision, Trunk<Engine>::Mode::evaluation,
               TrunkEnds{images_.buffer(), features_, 0}) {
    program_.finish();
    refresh();
  }

  [[nodiscard]] std::span<float> input() override { return images_.values(); }
  [[nodiscard]] ImageMemory images() override { return images_.memory(); }
  void compute() override {
    program_.run(Section::forward);
    images_.wait();
  }
  MatrixView<const float> features() override { return host_.fetch(program_, features_, rows_, columns_); }
  void refresh() override { program_.run(Section::prepare); }

 private:
  Index rows_, columns_;
  typename Engine::Program program_;
  typename Engine::Images images_;
  TrunkParameters<Engine> parameters_;
  Buffer* features_;
  Trunk<Engine> trunk_;
  typename Engine::HostRows host_;
};

template <class Engine>
class BasicNetwork final : public Network::Implementation {
 public:
  BasicNetwork(const NetworkDescription& wanted, std::uint64_t seed)
      : Network::Implementation(wanted, seed),
        state_(weights),
        program_(wanted.ranks),
        parameters_(wanted.plan, state_.tensors(), true) {
    const Architecture& architecture = wanted.architecture;
    embeddings_ = rows_of(program_, wanted.columns, true);
    grad_embeddings_ = rows_of(program_, wanted.columns, true);
    Buffer* features = architecture.head ? rows_of(program_, wanted.plan.features, false) : embeddings_;
    // All before the first trunk: the host may write again while the trunks run.
    for (const ImageGroup& group : wanted.groups)
      images_.emplace_back(program_, group, architecture.channels, wanted.precision);
    Index row = 0;
    for (std::size_t g = 0; g < wanted.groups.size(); ++g) {
      trunks_.emplace_back(program_, parameters_, wanted.groups[g], wanted.precision, Trunk<Engine>::Mode::training,
                           TrunkEnds{images_[g].buffer(), features, row});
      row += wanted.groups[g].images;
    }
    if (architecture.head)
      head_.emplace(
          program_, state_.tensors(),
          typename Head<Engine>::Shape{wanted.rows, wanted.plan.features, architecture.head_hidden, wanted.columns},
          features, embeddings_);
    if (wanted.gradients == Gradients::computed) add_backward();
    program_.finish();
  }

  [[nodiscard]] std::span<float> input(std::size_t group) override { return images_[group].values(); }
  [[nodiscard]] ImageMemory images(std::size_t group) override { return images_[group].memory(); }
  MatrixView<const float> forward() override {
    program_.run(Section::forward);
    for (const auto& images : images_) images.wait();
    return {embeddings_->as<float>(), description.rows, description.columns};
  }
  void backward(MatrixView<const float> grad_embeddings) override {
    Engine::copy_rows(program_, grad_embeddings, grad_embeddings_->as<float>());
    program_.run(Section::backward);
  }
  [[nodiscard]] std::vector<NamedTensor>& parameters() override { return state_.tensors(); }
  [[nodiscard]] std::span<float> gradients() override { return state_.gradients(); }
  void upload() override { state_.upload(); }
  void download() override { state_.download(); }
  [[nodiscard]] Program& program() override { return program_; }
  [[nodiscard]] std::unique_ptr<FeatureExtractor::Implementation> extractor(ImageGroup batch,
                                                                            Precision precision) override {
    return std::make_unique<BasicFeatureExtractor<Engine>>(description, state_.tensors(), batch, precision);
  }

 private:
  void add_backward() {
    Buffer* grad_features = head_ ? head_->backward(program_, grad_embeddings_) : grad_embeddings_;
    // The last group's activations are the freshest in cache, and their memory serves the groups before it.
    for (auto trunk = trunks_.rbegin(); trunk != trunks_.rend(); ++trunk) trunk->backward(program_, grad_features);
  }
  [[nodiscard]] Buffer* rows_of(typename Engine::Program& program, Index cols, bool kept) const {
    const std::size_t bytes = static_cast<std::size_t>(description.rows * cols) * sizeof(float);
    return kept ? program.kept_buffer(bytes) : program.buffer(bytes);
  }

  typename Engine::State state_;
  typename Engine::Program program_;
  std::deque<typename Engine::Images> images_;
  TrunkParameters<Engine> parameters_;
  std::deque<Trunk<Engine>> trunks_;
  std::optional<Head<Engine>> head_;
  Buffer* embeddings_ = nullptr;
  Buffer* grad_embeddings_ = nullptr;
};

}  // namespace swav::resnet
