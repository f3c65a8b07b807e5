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

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

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
               {.batch_size = options.batch_size,
                .seed = options.seed,
                .multiple = options.accumulate,
                .workers = resolve_workers(options, images)}),
      precision_(resolve_precision(options.precision)),
      bank_(head_prototypes(options), options.embedding, options.seed, LossDevice(options.threads)),
      loss_({.temperature = options.temperature,
             .crops_for_assign = options.crops_for_assign,
             .embeddings = Embeddings::raw,
             .sinkhorn = {.epsilon = options.epsilon,
                          .max_iterations = options.sinkhorn_iterations,
                          .hard_codes = options.hard_codes}},
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
                          .frozen_steps = options.freeze_prototypes});
    gradient += head.value.size();
  }
  optimizer_ = std::make_unique<Optimizer>(options, std::move(parameters));

  const auto assigned = static_cast<Index>(options.crops_for_assign.size());
  if (options.queue_length > 0)
    queue_.emplace(assigned, options.embedding, EmbeddingQueueOptions{.length = options.queue_length},
                   LossDevice(options.threads));
  if (options.momentum_encoder > 0)
    encoder_.emplace(*network_, bank_, image_groups(options)[0], precision_, options.momentum_encoder,
                     LossDevice(options.threads));
  if (options.accumulate > 1)
    accumulation_.emplace(*network_, options.accumulate,
                          1 + *std::max_element(options.crops_for_assign.begin(), options.crops_for_assign.end()),
                          options.batch_size, options.embedding);
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
  bank_.normalize();
  if (encoder_) encoder_->bank().normalize();
  follow_schedules();
  StepMetrics metrics = accumulation_ ? learn_from_batches() : learn_from_batch();
  metrics.learning_rate = learning_rate();
  optimizer_->step(metrics.learning_rate);
  if (encoder_) encoder_->follow(*network_, bank_);
  ++steps_done_;
  return metrics;
}

StepMetrics Learner::learn_from_batch() {
  const auto start = Clock::now();
  batches_.load(steps_done_, inputs_);
  const double data_seconds = seconds_since(start);
  const MatrixView<const float> z = network_->forward();
  CodeSource<float, LossDevice> source{.queue = queue()};
  if (encoder_) {
    source.embeddings = encoder_->embed(network_->input(0));
    source.bank = &encoder_->bank();
  }
  loss_.step_into(z, bank_, crops_.views(), loss_step_, source);
  StepMetrics metrics = metrics_of(z);
  metrics.data_seconds = data_seconds;
  network_->backward(loss_step_.grad_embeddings);
  return metrics;
}

StepMetrics Learner::learn_from_batches() {
  const Index count = accumulation_->batches();
  const auto start = Clock::now();
  for (Index batch = 0; batch < count; ++batch)
    batches_.load(steps_done_ * count + batch, accumulation_->inputs(batch));
  StepMetrics mean{.data_seconds = seconds_since(start)};
  compute_common_codes();

  double prototypes_used = 0;
  // The last batch first: it has just been through the network, where there is no other for the codes.
  for (Index i = 0; i < count; ++i) {
    const Index batch = (count - 1 + i) % count;
    if (i > 0 || encoder_) {
      accumulation_->feed(*network_, batch);
      embeddings_ = network_->forward();
    }
    loss_.step_into(embeddings_, bank_, crops_.views(), loss_step_,
                    {.codes = &codes_, .first_sample = batch * options_.batch_size});
    const StepMetrics metrics = metrics_of(embeddings_);
    network_->backward(loss_step_.grad_embeddings);
    accumulation_->add_gradients(*network_, prototype_gradient());
    mean.loss += metrics.loss / static_cast<double>(count);
    mean.code_entropy += metrics.code_entropy / static_cast<double>(count);
    mean.feature_spread += metrics.feature_spread / static_cast<double>(count);
    prototypes_used += static_cast<double>(metrics.prototypes_used) / static_cast<double>(count);
  }
  accumulation_->take_gradients(*network_, prototype_gradient());
  mean.prototypes_used = std::lround(prototypes_used);
  return mean;
}

// Leaves the last batch's embeddings and its way through the network, unless there is an encoder.
void Learner::compute_common_codes() {
  const Index count = accumulation_->batches();
  accumulation_->save_statistics(*network_);
  for (Index batch = 0; batch < count; ++batch) {
    if (encoder_) {
      embeddings_ = encoder_->embed(accumulation_->input(batch, 0));
    } else {
      accumulation_->restore_statistics(*network_);
      accumulation_->feed(*network_, batch);
      embeddings_ = network_->forward();
    }
    accumulation_->keep_embeddings(batch, embeddings_);
  }
  loss_.codes_into(accumulation_->embeddings(), encoder_ ? encoder_->bank() : bank_, step_images(options_), codes_,
                   queue());
}

StepMetrics Learner::metrics_of(MatrixView<const float> z) {
  return {.loss = loss_step_.value,
          .code_entropy = loss_step_.codes_entropy,
          .prototypes_used = loss_step_.prototypes_used,
          .feature_spread =
              std::sqrt(static_cast<double>(z.cols)) *
              feature_spread(z.middle_rows(0, options_.batch_size), EigenDevice(options_.threads), spread_workspace_)};
}

void Learner::follow_schedules() {
  const double part = total_steps_ > 1 ? static_cast<double>(steps_done_) / static_cast<double>(total_steps_ - 1) : 0.0;
  const auto value = [&](double first, double last) { return last > 0 ? std::lerp(first, last, part) : first; };
  loss_.set_temperature(value(options_.temperature, options_.final_temperature));
  loss_.set_epsilon(value(options_.epsilon, options_.final_epsilon));
}

double Learner::learning_rate() const {
  return warmup_cosine({.start = options_.start_learning_rate,
                        .base = options_.learning_rate,
                        .final = options_.final_learning_rate,
                        .warmup_steps = std::min<Index>(
                            std::lround(options_.warmup_epochs * static_cast<double>(steps_per_epoch())), total_steps_),
                        .total_steps = total_steps_},
                       steps_done_);
}

VectorView<float> Learner::prototype_gradient() {
  return {loss_step_.grad_prototypes.data(), loss_step_.grad_prototypes.size()};
}

Learner::Queue* Learner::queue() {
  return queue_ && steps_done_ >= options_.queue_start_epoch * steps_per_epoch() ? &*queue_ : nullptr;
}

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
