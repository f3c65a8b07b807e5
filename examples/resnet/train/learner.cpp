// What a learner is made of, and its state. In: settings, images. Out: network, bank and all else; named tensors.
#include "train/learner.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/dnnl_version.hpp"
#include "swav/core/error.hpp"

namespace swav::resnet {
namespace {

std::vector<ImageGroup> image_groups(const TrainOptions& o, Index images) {
  std::vector<ImageGroup> groups{{o.large_crops * images, o.large_size}};
  if (o.small_crops > 0) groups.push_back({o.small_crops * images, o.small_size});
  return groups;
}

Architecture architecture(const TrainOptions& o, Index channels) {
  return {.depth = o.depth,
          .width = o.width,
          .small_stem = o.stem == "small",
          .channels = static_cast<int>(channels),
          .head = true,
          .head_hidden = o.hidden,
          .embedding = o.embedding};
}

}  // namespace

std::vector<CropSpec> crop_specs(const TrainOptions& o, const Normalization& normalization) {
  const CropSpec large{.count = o.large_crops,
                       .size = o.large_size,
                       .scale = {o.large_scale[0], o.large_scale[1]},
                       .flip = o.flip,
                       .jitter = {.brightness = o.brightness,
                                  .contrast = o.contrast,
                                  .saturation = o.saturation,
                                  .hue = o.hue,
                                  .probability = o.jitter_probability},
                       .grayscale = o.grayscale,
                       .blur = {.probability = o.blur, .sigma = {o.blur_sigma[0], o.blur_sigma[1]}},
                       .normalize = normalization};
  std::vector<CropSpec> specs{large};
  if (o.small_crops > 0) {
    CropSpec small = large;
    small.count = o.small_crops;
    small.size = o.small_size;
    small.scale = {o.small_scale[0], o.small_scale[1]};
    specs.push_back(small);
  }
  return specs;
}

Precision resolve_precision(const std::string& name) {
  if (name == "float32") return Precision::float32;
  if (name == "bfloat16") return Precision::bfloat16;
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") ? Precision::bfloat16 : Precision::float32;
#else
  return Precision::float32;
#endif
}

TrainOptions with_precision_resolved(TrainOptions options) {
  options.precision = resolve_precision(options.precision) == Precision::bfloat16 ? "bfloat16" : "float32";
  return options;
}

int resolve_workers(const TrainOptions& options, const ImageSource& images) {
  if (options.workers >= 0) return options.workers;
  return images.in_memory() ? 0 : omp_get_max_threads();
}

Learner::Learner(const TrainOptions& options, const ImageSource& images, const Normalization& normalization,
                 RankGroup ranks)
    : options_((validate_for_ranks(options, ranks.size()), options)),
      ranks_(std::move(ranks)),
      share_(options.batch_size / ranks_.size()),
      crops_(crop_specs(options, normalization)),
      batches_(images, crops_, image_groups(options, share_),
               {.batch_size = options.batch_size,
                .first = ranks_.rank() * share_,
                .count = share_,
                .seed = options.seed,
                .multiple = options.accumulate,
                .workers = resolve_workers(options, images)}),
      precision_(resolve_precision(options.precision)),
      bank_(head_prototypes(options), options.embedding, options.seed, LossDevice(options.threads)),
      loss_({.temperature = options.temperature,
             .crops_for_assign = options.crops_for_assign,
             .embeddings = Embeddings::raw,
             .sinkhorn = {.epsilon = options.epsilon,
                          .max_iterations = std::max(options.sinkhorn_iterations, 1),
                          .hard_codes = options.hard_codes}},
            LossDevice(options.threads), ranks_) {
  const std::vector<ImageGroup> groups = image_groups(options, share_);
  try {
    network_ = std::make_unique<Network>(architecture(options, images.channels()), groups, precision_, options.seed,
                                         Gradients::computed, ranks_);
  } catch (const dnnl::error& error) {
    if (precision_ != Precision::bfloat16 || error.status != dnnl_unimplemented) throw;
    throw InvalidInput("--precision: bfloat16 found, which oneDNN cannot compute on this CPU; a run in float32 wanted");
  }
  for (std::size_t group = 0; group < groups.size(); ++group) inputs_.push_back(network_->input(group).data());
  loss_step_.grad_prototypes.resize(bank_.prototypes(), options.embedding);

  std::vector<Parameter<float>> parameters;
  for (NamedTensor& tensor : network_->tensors())
    if (!tensor.gradient.empty())
      parameters.push_back({.value = tensor.value,
                            .gradient = tensor.gradient,
                            .decays = tensor.decays,
                            .adapts = options.optimizer != "lars" || tensor.decays,
                            .name = tensor.name});
  const float* gradient = loss_step_.grad_prototypes.data();
  for (const StateTensor& head : prototypes_state("", bank_.weights())) {
    parameters.push_back({.value = head.value,
                          .gradient = {gradient, static_cast<Index>(head.value.size())},
                          .name = head.name,
                          .frozen_steps = options.objective == "deepcluster-v2" ? std::numeric_limits<Index>::max()
                                                                                : options.freeze_prototypes});
    gradient += head.value.size();
  }
  optimizer_ = std::make_unique<Optimizer>(options, std::move(parameters));

  const auto assigned = static_cast<Index>(options.crops_for_assign.size());
  if (options.queue_length > 0)
    queue_.emplace(assigned, options.embedding, EmbeddingQueueOptions{.length = options.queue_length},
                   LossDevice(options.threads));
  if (options.momentum_encoder > 0)
    encoder_.emplace(*network_, bank_, groups[0], precision_, options.momentum_encoder, LossDevice(options.threads),
                     ranks_);
  if (options.accumulate > 1)
    accumulation_.emplace(*network_, options.accumulate,
                          1 + *std::max_element(options.crops_for_assign.begin(), options.crops_for_assign.end()),
                          share_, options.embedding);
  if (options.sinkhorn_iterations == 0) unbalanced_.emplace(options, share_);
  if (ranks_.size() > 1) first_view_.resize(options.batch_size, options.embedding);
  if (options.objective != "swav") {
    targets_.emplace(options, images.count(), batches_.per_epoch() * options.batch_size);
    order_.resize(static_cast<std::size_t>(images.count()));
  }
  total_steps_ = steps_per_epoch() * options.epochs;
}

void Learner::set_total_steps(Index steps) { total_steps_ = std::max(steps, steps_done_ + 1); }

std::vector<StateTensor> Learner::prototypes_state(const std::string& prefix, MatrixView<float> weights) const {
  std::vector<StateTensor> tensors;
  const std::vector<Index>& heads = bank_.head_prototypes();
  for (std::size_t head = 0; head < heads.size(); ++head)
    tensors.push_back({prefix + "prototypes." +
                           (heads.size() == 1 ? std::string() : "prototypes" + std::to_string(head) + ".") + "weight",
                       {heads[head], weights.cols},
                       {weights.row(bank_.head_first(head)), static_cast<std::size_t>(heads[head] * weights.cols)}});
  return tensors;
}

std::vector<StateTensor> Learner::state() {
  std::vector<StateTensor> tensors;
  const auto add = [&](const std::string& prefix, std::vector<NamedTensor>& network, MatrixView<float> weights) {
    for (NamedTensor& tensor : network) tensors.push_back({prefix + tensor.name, tensor.shape, tensor.value});
    for (StateTensor& head : prototypes_state(prefix, weights)) tensors.push_back(std::move(head));
  };
  add("", network_->tensors(), bank_.weights());
  if (encoder_) add("momentum_encoder.", encoder_->tensors(), encoder_->bank().weights());
  if (queue_) {
    const MatrixView<float> rows = queue_->storage();
    tensors.push_back({"queue.embeddings",
                       {queue_->views(), queue_->length(), queue_->dimension()},
                       {rows.data, static_cast<std::size_t>(rows.size())}});
  }
  if (targets_)
    for (StateTensor& tensor : targets_->state()) tensors.push_back(std::move(tensor));
  for (const StateBuffer<float>& buffer : optimizer_->state())
    tensors.push_back({"optimizer." + buffer.name,
                       {buffer.values.size},
                       {buffer.values.data, static_cast<std::size_t>(buffer.values.size)}});
  return tensors;
}

void Learner::resume_at(Index steps, Index total_steps, Index queue_rows) {
  steps_done_ = steps;
  total_steps_ = total_steps;
  optimizer_->set_steps(steps);
  if (queue_) queue_->set_pushed(queue_rows);
}

}  // namespace swav::resnet
