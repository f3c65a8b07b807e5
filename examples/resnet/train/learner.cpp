// What a learner is made of, and its state. In: settings, images. Out: network, bank and all else; named tensors.
#include "train/learner.hpp"

#include <omp.h>

#include <algorithm>
#include <utility>

#include "swav/core/error.hpp"
#include "train/learner_core.hpp"

namespace swav::resnet {
namespace {

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

Precision resolve_precision(const std::string& precision, const std::string& device) {
  if (precision == "float32") return Precision::float32;
  if (precision == "bfloat16" || device == "cuda") return Precision::bfloat16;
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") ? Precision::bfloat16 : Precision::float32;
#else
  return Precision::float32;
#endif
}

TrainOptions with_precision_resolved(TrainOptions options) {
  options.precision =
      resolve_precision(options.precision, options.device) == Precision::bfloat16 ? "bfloat16" : "float32";
  return options;
}

int resolve_workers(const TrainOptions& options, const ImageSource& images) {
  if (options.workers >= 0) return options.workers;
  return images.storage().empty() ? omp_get_max_threads() : 0;
}

Learner::Learner(const TrainOptions& options, const ImageSource& images, const Normalization& normalization,
                 RankGroup ranks)
    : precision_((validate_for_ranks(options, ranks.size()), resolve_precision(options.precision, options.device))),
      accumulate_(options.accumulate),
      source_(options, images, normalization, ranks) {
  const LearnerPlan plan{options, source_, architecture(options, images.channels()), precision_, std::move(ranks)};
  core_ = options.device == "cuda" ? make_cuda_learner(plan) : make_cpu_learner(plan);
  core_->set_total_steps(steps_per_epoch() * options.epochs);
}
Learner::~Learner() = default;

StepMetrics Learner::step() { return core_->step(); }
Index Learner::steps_done() const { return core_->steps_done(); }
Index Learner::total_steps() const { return core_->total_steps(); }
void Learner::set_total_steps(Index steps) { core_->set_total_steps(std::max(steps, steps_done() + 1)); }
std::vector<StateTensor> Learner::state() { return core_->state(); }
void Learner::download() { core_->download(); }
void Learner::start_encoder() { core_->start_encoder(); }
Index Learner::queue_rows() const { return core_->queue_rows(); }
void Learner::resume_at(Index steps, Index total_steps, Index queue_rows) {
  core_->resume_at(steps, total_steps, queue_rows);
}
std::size_t Learner::gpu_bytes() const { return core_->gpu_bytes(); }
Network& Learner::network() { return core_->network(); }
MatrixView<const float> Learner::prototypes() { return core_->prototypes(); }

}  // namespace swav::resnet
