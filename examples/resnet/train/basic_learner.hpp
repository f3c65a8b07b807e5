// What of a learner computes, on any processor: network, prototypes, queue, momentum encoder, optimiser, and the way of
// a step's batches through them. In: a plan. Out: see train/learner.hpp. basic_learner_step.hpp has the step.
//
// `Training` is what the templates ask of a processor (train/cpu_learner.cpp, train/cuda/learner.cu):
//   processor, Device    of the network and of the loss        Plain   a device for all else; device(), plain()
//   Targets, Unbalanced  ImageTargets and UnbalancedCodes
//   add, average, copy, clear   passes over parameters         Spread  the spread of a view's embeddings, all ranks'
//   Mirror               copies of the state for the host       gpu_bytes()  of a GPU's memory, what is in use
//   Loader               fills a network's images, or memory like them, with the crops of a batch: load(batch, inputs)
// The ranks of the plan reduce what is in the processor's memory.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "swav/loss/basic_swapped_prediction.hpp"
#include "swav/prototypes/basic_bank.hpp"
#include "swav/prototypes/basic_queue.hpp"
#include "train/accumulation.hpp"
#include "train/learner_core.hpp"
#include "train/momentum_encoder.hpp"
#include "train/optimizer.hpp"

namespace swav::resnet {

template <class Training>
class BasicLearner final : public LearnerCore {
  using Device = typename Training::Device;
  using Bank = PrototypeBank<float, Device>;
  using Queue = EmbeddingQueue<float, Device>;
  using Source = CodeSource<float, Device>;
  using Clock = std::chrono::steady_clock;

 public:
  explicit BasicLearner(const LearnerPlan& plan);

  StepMetrics step() override;
  [[nodiscard]] std::vector<StateTensor> state() override;
  void download() override;
  void start_encoder() override;
  [[nodiscard]] Index queue_rows() const override { return queue_ ? queue_->pushed() : 0; }
  void resume_at(Index steps, Index total_steps, Index queue_rows) override;
  [[nodiscard]] Network& network() override { return network_; }
  [[nodiscard]] std::size_t gpu_bytes() const override { return Training::gpu_bytes(); }
  [[nodiscard]] MatrixView<const float> prototypes() override {
    const MatrixView<float> weights = bank_.weights().middle_rows(0, bank_.head_prototypes()[0]);
    return {mirror_.host(weights.data, weights.size()).data(), weights.rows, weights.cols};
  }

 private:
  StepMetrics checked_step();
  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  void load(Index batch, std::span<void* const> inputs) { loader_.load(batch, inputs); }
  void sum_gradients();
  StepMetrics learn_from_batch();
  StepMetrics learn_from_batches();
  void compute_common_codes();
  void begin_epoch();
  [[nodiscard]] bool has_codes_apart() const { return targets_ || unbalanced_; }
  void take_codes_apart(Index batch, MatrixView<const float> z, Source& source);
  void keep_for_targets(Index batch, MatrixView<const float> z);
  [[nodiscard]] StepMetrics metrics_of(MatrixView<const float> z);
  void follow_schedules();
  [[nodiscard]] double epsilon() const { return scheduled(options_.epsilon, options_.final_epsilon); }
  [[nodiscard]] double learning_rate() const;
  [[nodiscard]] double scheduled(double first, double last) const;
  [[nodiscard]] Index steps_per_epoch() const { return source_.per_epoch() / options_.accumulate; }
  [[nodiscard]] Queue* queue();
  [[nodiscard]] VectorView<float> prototype_gradient() {
    return {loss_step_.grad_prototypes.data(), loss_step_.grad_prototypes.size()};
  }
  [[nodiscard]] std::vector<Parameter<float>> parameters();
  [[nodiscard]] std::vector<StateTensor> prototypes_state(const std::string& prefix, MatrixView<float> weights) const;
  /// What the networks do not have of the state, in the memory of the processor.
  [[nodiscard]] std::vector<StateTensor> own_state();
  void upload();

  TrainOptions options_;
  RankGroup ranks_;
  BatchSource& source_;
  Index share_;  // images of a batch that are this rank's
  Device device_;
  Network network_;
  typename Training::Loader loader_;
  std::vector<void*> inputs_;
  Bank bank_;
  SwappedPredictionLoss<float, Device, RankGroup> loss_;
  SwappedPredictionStep<float, Device> loss_step_;
  std::optional<Queue> queue_;
  std::optional<MomentumEncoder<Training>> encoder_;
  std::optional<Accumulation<Training>> accumulation_;
  std::optional<typename Training::Targets> targets_;
  std::optional<typename Training::Unbalanced> unbalanced_;
  ViewCodes<float, Device> codes_;      // of all batches of a step
  MatrixView<const float> embeddings_;  // of the batch that went through a network last
  typename Training::Spread spread_;
  std::optional<Optimizer<typename Training::Plain>> optimizer_;
  typename Training::Mirror mirror_;
};

template <class Training>
BasicLearner<Training>::BasicLearner(const LearnerPlan& plan)
    : options_(plan.options),
      ranks_(plan.ranks),
      source_(plan.source),
      share_(plan.source.share()),
      device_(Training::device(options_)),
      network_(plan.architecture, source_.groups(), plan.precision, options_.seed, Gradients::computed, ranks_,
               Training::processor),
      loader_(source_, network_, options_.decode == "gpu"),
      bank_(head_prototypes(options_), options_.embedding, options_.seed, device_),
      loss_({.temperature = options_.temperature,
             .crops_for_assign = options_.crops_for_assign,
             .embeddings = Embeddings::raw,
             .sinkhorn = {.epsilon = options_.epsilon,
                          .max_iterations = std::max(options_.sinkhorn_iterations, 1),
                          .hard_codes = options_.hard_codes}},
            device_, ranks_),
      spread_(options_, ranks_),
      mirror_(Training::plain(options_)) {
  for (std::size_t group = 0; group < network_.groups(); ++group) inputs_.push_back(network_.images(group).data);
  loss_step_.grad_prototypes = typename Device::template Matrix<float>(bank_.prototypes(), options_.embedding);
  optimizer_.emplace(options_, parameters(), Training::plain(options_));

  const auto assigned = static_cast<Index>(options_.crops_for_assign.size());
  if (options_.queue_length > 0)
    queue_.emplace(assigned, options_.embedding, EmbeddingQueueOptions{.length = options_.queue_length}, device_);
  if (options_.momentum_encoder > 0)
    encoder_.emplace(network_, bank_, source_.groups()[0], plan.precision, options_.momentum_encoder, device_, ranks_);
  if (options_.accumulate > 1)
    accumulation_.emplace(network_, device_, options_.accumulate,
                          1 + *std::max_element(options_.crops_for_assign.begin(), options_.crops_for_assign.end()),
                          share_, options_.embedding);
  if (options_.sinkhorn_iterations == 0) unbalanced_.emplace(options_, share_);
  if (options_.objective != "swav")
    targets_.emplace(options_, source_.images(), source_.per_epoch() * options_.batch_size);
  download();
}

template <class Training>
std::vector<Parameter<float>> BasicLearner<Training>::parameters() {
  std::vector<Parameter<float>> parameters;
  for (NamedTensor& tensor : network_.parameters())
    if (!tensor.gradient.empty())
      parameters.push_back({.value = tensor.value,
                            .gradient = tensor.gradient,
                            .decays = tensor.decays,
                            .adapts = options_.optimizer != "lars" || tensor.decays,
                            .name = tensor.name});
  const float* gradient = prototype_gradient().data;
  for (const StateTensor& head : prototypes_state("", bank_.weights())) {
    parameters.push_back({.value = head.value,
                          .gradient = {gradient, static_cast<Index>(head.value.size())},
                          .name = head.name,
                          .frozen_steps = options_.objective == "deepcluster-v2" ? std::numeric_limits<Index>::max()
                                                                                 : options_.freeze_prototypes});
    gradient += head.value.size();
  }
  return parameters;
}

template <class Training>
std::vector<StateTensor> BasicLearner<Training>::prototypes_state(const std::string& prefix,
                                                                  MatrixView<float> weights) const {
  std::vector<StateTensor> tensors;
  const std::vector<Index>& heads = bank_.head_prototypes();
  for (std::size_t head = 0; head < heads.size(); ++head)
    tensors.push_back({prefix + "prototypes." +
                           (heads.size() == 1 ? std::string() : "prototypes" + std::to_string(head) + ".") + "weight",
                       {heads[head], weights.cols},
                       {weights.row(bank_.head_first(head)), static_cast<std::size_t>(heads[head] * weights.cols)}});
  return tensors;
}

template <class Training>
std::vector<StateTensor> BasicLearner<Training>::own_state() {
  std::vector<StateTensor> tensors = prototypes_state("", bank_.weights());
  if (encoder_)
    for (StateTensor& head : prototypes_state("momentum_encoder.", encoder_->bank().weights()))
      tensors.push_back(std::move(head));
  if (queue_) {
    const MatrixView<float> rows = queue_->storage();
    tensors.push_back({"queue.embeddings",
                       {queue_->views(), queue_->length(), queue_->dimension()},
                       {rows.data, static_cast<std::size_t>(rows.size())}});
  }
  for (const StateBuffer<float>& buffer : optimizer_->state())
    tensors.push_back({"optimizer." + buffer.name,
                       {buffer.values.size},
                       {buffer.values.data, static_cast<std::size_t>(buffer.values.size)}});
  return tensors;
}

template <class Training>
std::vector<StateTensor> BasicLearner<Training>::state() {
  std::vector<StateTensor> tensors;
  for (NamedTensor& tensor : network_.tensors()) tensors.push_back({tensor.name, tensor.shape, tensor.value});
  if (encoder_)
    for (NamedTensor& tensor : encoder_->network().tensors())
      tensors.push_back({"momentum_encoder." + tensor.name, tensor.shape, tensor.value});
  for (StateTensor& tensor : own_state()) {
    tensor.value = mirror_.host(tensor.value.data(), static_cast<Index>(tensor.value.size()));
    tensors.push_back(std::move(tensor));
  }
  if (targets_)
    for (StateTensor& tensor : targets_->state()) tensors.push_back(std::move(tensor));
  return tensors;
}

template <class Training>
void BasicLearner<Training>::download() {
  network_.download();
  if (encoder_) encoder_->network().download();
  for (const StateTensor& tensor : own_state()) mirror_.download(tensor.value);
}

template <class Training>
void BasicLearner<Training>::upload() {
  network_.upload();
  if (encoder_) encoder_->network().upload();
  for (const StateTensor& tensor : own_state()) mirror_.upload(tensor.value);
}

template <class Training>
void BasicLearner<Training>::start_encoder() {
  upload();
  if (encoder_) encoder_->start_as(network_, bank_);
  download();
}

template <class Training>
void BasicLearner<Training>::resume_at(Index steps, Index total_steps, Index queue_rows) {
  upload();
  steps_done_ = steps;
  total_steps_ = total_steps;
  optimizer_->set_steps(steps);
  if (queue_) queue_->set_pushed(queue_rows);
}

}  // namespace swav::resnet

#include "train/basic_learner_step.hpp"
