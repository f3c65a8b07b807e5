// The learner's step: crops, network, codes and loss, gradients, update. In: images. Out: measurements.
#include "train/learner.hpp"

#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>

#include "swav/core/error.hpp"
#include "swav/optim/schedule.hpp"
#include "train/data_order.hpp"

namespace swav::resnet {
namespace {

constexpr std::size_t most_views = 64;

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

Learner::Learner(const TrainOptions& options, const ImageSet& images, const Normalization& normalization)
    : options_(options),
      images_(images),
      crops_(crop_specs(options, normalization)),
      precision_(resolve_precision(options.precision)),
      bank_(options.prototypes, options.embedding, options.seed, LossDevice(options.threads)),
      loss_({.temperature = options.temperature,
             .crops_for_assign = options.crops_for_assign,
             .embeddings = Embeddings::raw,
             .sinkhorn = {.epsilon = options.epsilon, .max_iterations = options.sinkhorn_iterations}},
            LossDevice(options.threads)),
      order_(static_cast<std::size_t>(images.count())) {
  detail::require(options.batch_size <= images.count(), "--batch-size: ", options.batch_size, " found, ",
                  images.count(), " (the number of images) or fewer wanted");
  detail::require(crops_.views() <= static_cast<Index>(most_views), "--large-crops and --small-crops: ", crops_.views(),
                  " views found, ", most_views, " or fewer wanted");
  try {
    network_ = std::make_unique<Network>(architecture(options, images.channels), image_groups(options), precision_,
                                         options.seed);
  } catch (const dnnl::error& error) {
    if (precision_ != Precision::bfloat16 || error.status != dnnl_unimplemented) throw;
    throw InvalidInput("--precision: bfloat16 found, which oneDNN cannot compute on this CPU; a run in float32 wanted");
  }
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

  steps_per_epoch_ = images.count() / options.batch_size;
  total_steps_ = steps_per_epoch_ * options.epochs;
}

void Learner::set_total_steps(Index steps) { total_steps_ = std::max(steps, steps_done_ + 1); }

// Image b's crop for view v of a group is row v B + b of the group's input: the embeddings come out view-major.
void Learner::load_batch() {
  const Index epoch = steps_done_ / steps_per_epoch_;
  if (epoch != order_epoch_) {
    epoch_order(options_.seed, static_cast<std::uint64_t>(epoch), order_);
    order_epoch_ = epoch;
  }
  const Index batch = options_.batch_size;
  const Index first = (steps_done_ % steps_per_epoch_) * batch;
  const Index views = crops_.views();
  std::array<float*, 2> inputs{network_->input(0).data(),
                               options_.small_crops > 0 ? network_->input(1).data() : nullptr};
  std::exception_ptr failure;
  const auto crop = [&](Index b) {
    try {
      std::array<float*, most_views> outputs;
      for (Index v = 0; v < views; ++v) {
        const bool is_large = v < options_.large_crops;
        const Index in_group = is_large ? v : v - options_.large_crops;
        const Index side = is_large ? options_.large_size : options_.small_size;
        outputs[static_cast<std::size_t>(v)] =
            inputs[is_large ? 0 : 1] + (in_group * batch + b) * images_.channels * side * side;
      }
      const Index index = order_[static_cast<std::size_t>(first + b)];
      crops_(images_.image(index),
             CropKey{options_.seed, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(index)},
             std::span<float* const>(outputs.data(), static_cast<std::size_t>(views)));
    } catch (...) {
#pragma omp critical(swav_load_batch)
      failure = std::current_exception();
    }
  };
#pragma omp parallel
  {
    // One image for each thread, whoever is late: a thread allocates at its first image, so all do in the first step.
    const Index threads = std::min<Index>(batch, omp_get_num_threads());
#pragma omp for schedule(static, 1) nowait
    for (Index b = 0; b < threads; ++b) crop(b);
#pragma omp for schedule(dynamic, 4)
    for (Index b = threads; b < batch; ++b) crop(b);
  }
  if (failure) std::rethrow_exception(failure);
}

StepMetrics Learner::step() {
  try {
    return checked_step();
  } catch (const InvalidInput& error) {
    throw InvalidInput("step " + std::to_string(steps_done_ + 1) + ": " + error.what() +
                       "; if training diverged, lower --lr, lengthen --warmup-epochs or use --precision float32");
  }
}

StepMetrics Learner::checked_step() {
  load_batch();
  const MatrixView<const float> z = network_->forward();
  bank_.normalize();
  loss_.step_into(z, bank_, crops_.views(), loss_step_);
  StepMetrics metrics{.loss = loss_step_.value,
                      .code_entropy = loss_step_.codes_entropy,
                      .prototypes_used = loss_step_.prototypes_used,
                      .feature_spread = std::sqrt(static_cast<double>(z.cols)) *
                                        feature_spread(z.middle_rows(0, options_.batch_size),
                                                       EigenDevice(options_.threads), spread_workspace_)};
  network_->backward(loss_step_.grad_embeddings);
  metrics.learning_rate =
      warmup_cosine({.start = options_.start_learning_rate,
                     .base = options_.learning_rate,
                     .final = options_.final_learning_rate,
                     .warmup_steps = std::min<Index>(
                         std::lround(options_.warmup_epochs * static_cast<double>(steps_per_epoch_)), total_steps_),
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
