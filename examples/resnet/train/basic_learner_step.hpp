// The learner's step: crops, network, codes and loss, gradients, update. In: images. Out: measurements. Belongs to
// basic_learner.hpp, which includes it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>

#include "swav/core/error.hpp"
#include "swav/optim/schedule.hpp"
#include "train/basic_learner.hpp"

namespace swav::resnet {

template <class Training>
StepMetrics BasicLearner<Training>::step() {
  try {
    return checked_step();
  } catch (const InvalidElsewhere&) {
    throw;
  } catch (const InvalidInput& error) {
    throw InvalidInput("step " + std::to_string(steps_done_ + 1) + ": " + error.what() +
                       "; if training diverged, lower --lr, lengthen --warmup-epochs or use --precision float32");
  }
}

template <class Training>
StepMetrics BasicLearner<Training>::checked_step() {
  bank_.normalize();
  if (encoder_) encoder_->bank().normalize();
  follow_schedules();
  if (steps_done_ % steps_per_epoch() == 0) begin_epoch();
  StepMetrics metrics = accumulation_ ? learn_from_batches() : learn_from_batch();
  metrics.learning_rate = learning_rate();
  optimizer_->step(metrics.learning_rate);
  if (encoder_) encoder_->follow(network_, bank_);
  ++steps_done_;
  return metrics;
}

// In one call: of many small ones each would wait for the slowest rank.
template <class Training>
void BasicLearner<Training>::sum_gradients() {
  const std::span<float> gradients = network_.gradients();
  ranks_.sum(gradients.data(), static_cast<Index>(gradients.size()));
}

template <class Training>
StepMetrics BasicLearner<Training>::learn_from_batch() {
  const auto start = Clock::now();
  load(steps_done_, inputs_);
  const double data_seconds = seconds_since(start);
  const MatrixView<const float> z = network_.forward();
  Source source{.queue = queue()};
  if (encoder_) {
    source.embeddings = encoder_->embed(network_.images(0).data);
    source.bank = &encoder_->bank();
  }
  take_codes_apart(steps_done_, z, source);
  loss_.step_into(z, bank_, source_.views(), loss_step_, source);
  keep_for_targets(steps_done_, z);
  StepMetrics metrics = metrics_of(z);
  metrics.data_seconds = data_seconds;
  network_.backward(loss_step_.grad_embeddings);
  sum_gradients();
  return metrics;
}

template <class Training>
StepMetrics BasicLearner<Training>::learn_from_batches() {
  const Index count = accumulation_->batches();
  const auto start = Clock::now();
  for (Index batch = 0; batch < count; ++batch) load(steps_done_ * count + batch, accumulation_->inputs(batch));
  StepMetrics mean{.data_seconds = seconds_since(start)};
  const bool apart = has_codes_apart();  // codes of one batch do not depend on the others
  if (!apart) compute_common_codes();

  double prototypes_used = 0;
  // The last batch first: it has just been through the network, where there is no other for the codes.
  for (Index i = 0; i < count; ++i) {
    const Index batch = (count - 1 + i) % count, in_run = steps_done_ * count + batch;
    if (i > 0 || encoder_ || apart) {
      accumulation_->feed(network_, batch);
      embeddings_ = network_.forward();
    }
    Source source{.codes = &codes_, .first_sample = batch * share_};
    if (apart) source = {};
    take_codes_apart(in_run, embeddings_, source);
    loss_.step_into(embeddings_, bank_, source_.views(), loss_step_, source);
    keep_for_targets(in_run, embeddings_);
    const StepMetrics metrics = metrics_of(embeddings_);
    network_.backward(loss_step_.grad_embeddings);
    accumulation_->add_gradients(network_, prototype_gradient());
    mean.loss += metrics.loss / static_cast<double>(count);
    mean.code_entropy += metrics.code_entropy / static_cast<double>(count);
    mean.feature_spread += metrics.feature_spread / static_cast<double>(count);
    prototypes_used += static_cast<double>(metrics.prototypes_used) / static_cast<double>(count);
  }
  accumulation_->take_gradients(network_, prototype_gradient());
  sum_gradients();
  mean.prototypes_used = std::lround(prototypes_used);
  return mean;
}

// Leaves the last batch's embeddings and its way through the network, unless there is an encoder.
template <class Training>
void BasicLearner<Training>::compute_common_codes() {
  const Index count = accumulation_->batches();
  accumulation_->save_statistics(network_);
  for (Index batch = 0; batch < count; ++batch) {
    if (encoder_) {
      embeddings_ = encoder_->embed(accumulation_->inputs(batch)[0]);
    } else {
      accumulation_->restore_statistics(network_);
      accumulation_->feed(network_, batch);
      embeddings_ = network_.forward();
    }
    accumulation_->keep_embeddings(batch, embeddings_);
  }
  loss_.codes_into(accumulation_->embeddings(), encoder_ ? encoder_->bank() : bank_, count * share_, codes_, queue(),
                   count);
}

// Before the first epoch a pass over its batches, without learning, has the embeddings that targets are of.
template <class Training>
void BasicLearner<Training>::begin_epoch() {
  if (!targets_) return;
  if (steps_done_ == 0)
    for (Index batch = 0; batch < source_.per_epoch(); ++batch) {
      load(batch, inputs_);
      keep_for_targets(batch, network_.forward());
    }
  targets_->assign(steps_done_ / steps_per_epoch(), bank_);
}

/// Codes that are of this batch alone, and not by the loss's Sinkhorn.
template <class Training>
void BasicLearner<Training>::take_codes_apart(Index batch, MatrixView<const float> z, Source& source) {
  if (targets_) source.codes = &targets_->codes(source_.images_of(batch), z, bank_);
  if (unbalanced_) source.codes = &unbalanced_->codes(z, bank_, epsilon());
}

template <class Training>
void BasicLearner<Training>::keep_for_targets(Index batch, MatrixView<const float> z) {
  if (targets_) targets_->store(batch % source_.per_epoch() * options_.batch_size, source_.images_of(batch), z);
}

template <class Training>
StepMetrics BasicLearner<Training>::metrics_of(MatrixView<const float> z) {
  return {.loss = loss_step_.value,
          .code_entropy = loss_step_.codes_entropy,
          .prototypes_used = loss_step_.prototypes_used,
          .feature_spread = std::sqrt(static_cast<double>(z.cols)) * spread_(z.middle_rows(0, share_))};
}

template <class Training>
void BasicLearner<Training>::follow_schedules() {
  loss_.set_temperature(scheduled(options_.temperature, options_.final_temperature));
  loss_.set_epsilon(epsilon());
}

template <class Training>
double BasicLearner<Training>::scheduled(double first, double last) const {
  const double part = total_steps_ > 1 ? static_cast<double>(steps_done_) / static_cast<double>(total_steps_ - 1) : 0.0;
  return last > 0 ? std::lerp(first, last, part) : first;
}

template <class Training>
double BasicLearner<Training>::learning_rate() const {
  return warmup_cosine({.start = options_.start_learning_rate,
                        .base = options_.learning_rate,
                        .final = options_.final_learning_rate,
                        .warmup_steps = std::min<Index>(
                            std::lround(options_.warmup_epochs * static_cast<double>(steps_per_epoch())), total_steps_),
                        .total_steps = total_steps_},
                       steps_done_);
}

template <class Training>
typename BasicLearner<Training>::Queue* BasicLearner<Training>::queue() {
  return queue_ && steps_done_ >= options_.queue_start_epoch * steps_per_epoch() ? &*queue_ : nullptr;
}

}  // namespace swav::resnet
