// The learner's step: crops, network, codes and loss, gradients, update. In: images. Out: measurements.
#include "train/learner.hpp"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "swav/core/error.hpp"
#include "swav/optim/schedule.hpp"

namespace swav::resnet {
namespace {

std::vector<ImageGroup> image_groups(const TrainOptions& o) {
  std::vector<ImageGroup> groups{{Index{o.large_crops} * o.batch_size, o.large_size}};
  if (o.small_crops > 0) groups.push_back({Index{o.small_crops} * o.batch_size, o.small_size});
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

Learner::Learner(const TrainOptions& options, const ImageSource& images, const Normalization& normalization)
    : options_(options),
      crops_(crop_specs(options, normalization)),
      batches_(images, crops_, image_groups(options),
               {.batch_size = options.batch_size, .seed = options.seed, .workers = resolve_workers(options, images)}),
      precision_(resolve_precision(options.precision)),
      bank_(options.prototypes, options.embedding, options.seed, LossDevice(options.threads)),
      loss_({.temperature = options.temperature,
             .crops_for_assign = options.crops_for_assign,
             .embeddings = Embeddings::raw,
             .sinkhorn = {.epsilon = options.epsilon, .max_iterations = options.sinkhorn_iterations}},
            LossDevice(options.threads)) {
  try {
    network_ = std::make_unique<Network>(architecture(options, images.channels()), image_groups(options), precision_,
                                         options.seed);
  } catch (const dnnl::error& error) {
    if (precision_ != Precision::bfloat16 || error.status != dnnl_unimplemented) throw;
    throw InvalidInput("--precision: bfloat16 found, which oneDNN cannot compute on this CPU; a run in float32 wanted");
  }
  for (std::size_t group = 0; group < image_groups(options).size(); ++group)
    inputs_.push_back(network_->input(group).data());
  loss_step_.grad_prototypes.resize(options.prototypes, options.embedding);

  std::vector<Parameter<float>> parameters;
  for (NamedTensor& tensor : network_->tensors())
    if (!tensor.gradient.empty())
      parameters.push_back(
          {.value = tensor.value, .gradient = tensor.gradient, .decays = tensor.decays, .name = tensor.name});
  const MatrixView<float> weights = bank_.weights();
  parameters.push_back({.value = {weights.data, weights.size()},
                        .gradient = {loss_step_.grad_prototypes.data(), loss_step_.grad_prototypes.size()},
                        .name = "prototypes.weight",
                        .frozen_steps = options.freeze_prototypes});
  optimizer_ = std::make_unique<Optimizer>(options, std::move(parameters));

  total_steps_ = steps_per_epoch() * options.epochs;
}

void Learner::set_total_steps(Index steps) { total_steps_ = std::max(steps, steps_done_ + 1); }

StepMetrics Learner::step() {
  try {
    return checked_step();
  } catch (const InvalidInput& error) {
    throw InvalidInput("step " + std::to_string(steps_done_ + 1) + ": " + error.what() +
                       "; if training diverged, lower --lr, lengthen --warmup-epochs or use --precision float32");
  }
}

StepMetrics Learner::checked_step() {
  const auto start = std::chrono::steady_clock::now();
  batches_.load(steps_done_, inputs_);
  const std::chrono::duration<double> data_time = std::chrono::steady_clock::now() - start;
  const MatrixView<const float> z = network_->forward();
  bank_.normalize();
  loss_.step_into(z, bank_, crops_.views(), loss_step_);
  StepMetrics metrics{.loss = loss_step_.value,
                      .code_entropy = loss_step_.codes_entropy,
                      .prototypes_used = loss_step_.prototypes_used,
                      .feature_spread = std::sqrt(static_cast<double>(z.cols)) *
                                        feature_spread(z.middle_rows(0, options_.batch_size),
                                                       EigenDevice(options_.threads), spread_workspace_),
                      .data_seconds = data_time.count()};
  network_->backward(loss_step_.grad_embeddings);
  metrics.learning_rate =
      warmup_cosine({.start = options_.start_learning_rate,
                     .base = options_.learning_rate,
                     .final = options_.final_learning_rate,
                     .warmup_steps = std::min<Index>(
                         std::lround(options_.warmup_epochs * static_cast<double>(steps_per_epoch())), total_steps_),
                     .total_steps = total_steps_},
                    steps_done_);
  optimizer_->step(metrics.learning_rate);
  ++steps_done_;
  return metrics;
}

std::vector<StateTensor> Learner::state() {
  std::vector<StateTensor> tensors;
  for (NamedTensor& tensor : network_->tensors()) tensors.push_back({tensor.name, tensor.shape, tensor.value});
  const MatrixView<float> weights = bank_.weights();
  tensors.push_back(
      {"prototypes.weight", {weights.rows, weights.cols}, {weights.data, static_cast<std::size_t>(weights.size())}});
  for (const StateBuffer<float>& buffer : optimizer_->state())
    tensors.push_back({"optimizer." + buffer.name,
                       {buffer.values.size},
                       {buffer.values.data, static_cast<std::size_t>(buffer.values.size)}});
  return tensors;
}

void Learner::resume_at(Index steps, Index total_steps) {
  steps_done_ = steps;
  total_steps_ = total_steps;
  optimizer_->set_steps(steps);
}

}  // namespace swav::resnet
