// The learner's step: crops, network, codes and loss, gradients, update. In: images. Out: measurements.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "swav/core/error.hpp"
#include "swav/optim/schedule.hpp"
#include "train/data_order.hpp"
#include "train/learner.hpp"

namespace swav::resnet {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

StepMetrics Learner::step() {
  try {
    return checked_step();
  } catch (const InvalidElsewhere&) {
    throw;
  } catch (const InvalidInput& error) {
    throw InvalidInput("step " + std::to_string(steps_done_ + 1) + ": " + error.what() +
                       "; if training diverged, lower --lr, lengthen --warmup-epochs or use --precision float32");
  }
}

StepMetrics Learner::checked_step() {
  bank_.normalize();
  if (encoder_) encoder_->bank().normalize();
  follow_schedules();
  if (targets_ && steps_done_ % steps_per_epoch() == 0) begin_epoch_with_targets();
  StepMetrics metrics = accumulation_ ? learn_from_batches() : learn_from_batch();
  metrics.learning_rate = learning_rate();
  optimizer_->step(metrics.learning_rate);
  if (encoder_) encoder_->follow(*network_, bank_);
  ++steps_done_;
  return metrics;
}

// A rank that cannot read its images must not leave the others waiting for it.
void Learner::load(Index batch, std::span<float* const> inputs) {
  if (ranks_.size() == 1) return batches_.load(batch, inputs);
  std::string fault;
  try {
    batches_.load(batch, inputs);
  } catch (const FileError& error) {
    fault = error.what();
  }
  double failed = fault.empty() ? 0 : 1;
  ranks_.maximum(&failed, 1);
  if (failed == 0) return;
  const std::vector<std::string> faults = ranks_.texts(fault);
  const auto first = std::ranges::find_if(faults, [](const std::string& text) { return !text.empty(); });
  throw BatchFailure("rank " + std::to_string(first - faults.begin()), *first);
}

// In one call: of many small ones each would wait for the slowest rank.
void Learner::sum_gradients() {
  const std::span<float> gradients = network_->gradients();
  ranks_.sum(gradients.data(), static_cast<Index>(gradients.size()));
}

StepMetrics Learner::learn_from_batch() {
  const auto start = Clock::now();
  load(steps_done_, inputs_);
  const double data_seconds = seconds_since(start);
  const MatrixView<const float> z = network_->forward();
  CodeSource<float, LossDevice> source{.queue = queue()};
  if (encoder_) {
    source.embeddings = encoder_->embed(network_->input(0));
    source.bank = &encoder_->bank();
  }
  if (targets_) source.codes = &targets_->codes(images_of(steps_done_), z, bank_);
  if (unbalanced_) source.codes = &unbalanced_->codes(z, bank_, epsilon());
  loss_.step_into(z, bank_, crops_.views(), loss_step_, source);
  if (targets_) keep_for_targets(steps_done_, z);
  StepMetrics metrics = metrics_of(z);
  metrics.data_seconds = data_seconds;
  network_->backward(loss_step_.grad_embeddings);
  sum_gradients();
  return metrics;
}

StepMetrics Learner::learn_from_batches() {
  const Index count = accumulation_->batches();
  const auto start = Clock::now();
  for (Index batch = 0; batch < count; ++batch) load(steps_done_ * count + batch, accumulation_->inputs(batch));
  StepMetrics mean{.data_seconds = seconds_since(start)};
  const bool apart = targets_ || unbalanced_;  // codes of one batch do not depend on the others
  if (!apart) compute_common_codes();

  double prototypes_used = 0;
  // The last batch first: it has just been through the network, where there is no other for the codes.
  for (Index i = 0; i < count; ++i) {
    const Index batch = (count - 1 + i) % count, in_run = steps_done_ * count + batch;
    if (i > 0 || encoder_ || apart) {
      accumulation_->feed(*network_, batch);
      embeddings_ = network_->forward();
    }
    CodeSource<float, LossDevice> source{.codes = &codes_, .first_sample = batch * share_};
    if (targets_) source = {.codes = &targets_->codes(images_of(in_run), embeddings_, bank_)};
    if (unbalanced_) source = {.codes = &unbalanced_->codes(embeddings_, bank_, epsilon())};
    loss_.step_into(embeddings_, bank_, crops_.views(), loss_step_, source);
    if (targets_) keep_for_targets(in_run, embeddings_);
    const StepMetrics metrics = metrics_of(embeddings_);
    network_->backward(loss_step_.grad_embeddings);
    accumulation_->add_gradients(*network_, prototype_gradient());
    mean.loss += metrics.loss / static_cast<double>(count);
    mean.code_entropy += metrics.code_entropy / static_cast<double>(count);
    mean.feature_spread += metrics.feature_spread / static_cast<double>(count);
    prototypes_used += static_cast<double>(metrics.prototypes_used) / static_cast<double>(count);
  }
  accumulation_->take_gradients(*network_, prototype_gradient());
  sum_gradients();
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
  loss_.codes_into(accumulation_->embeddings(), encoder_ ? encoder_->bank() : bank_, count * share_, codes_, queue(),
                   count);
}

// Before the first epoch a pass over its batches, without learning, has the embeddings that targets are of.
void Learner::begin_epoch_with_targets() {
  if (steps_done_ == 0)
    for (Index batch = 0; batch < batches_.per_epoch(); ++batch) {
      batches_.load(batch, inputs_);
      keep_for_targets(batch, network_->forward());
    }
  targets_->assign(steps_done_ / steps_per_epoch(), bank_);
}

void Learner::keep_for_targets(Index batch, MatrixView<const float> z) {
  targets_->store(batch % batches_.per_epoch() * options_.batch_size, images_of(batch), z);
}

// As Batches draws them, replacements for what cannot be read aside.
std::span<const Index> Learner::images_of(Index batch) {
  const Index epoch = batch / batches_.per_epoch();
  if (order_epoch_ != epoch) {
    epoch_order(options_.seed, static_cast<std::uint64_t>(epoch), order_);
    order_epoch_ = epoch;
  }
  return std::span<const Index>(order_).subspan(
      static_cast<std::size_t>(batch % batches_.per_epoch() * options_.batch_size),
      static_cast<std::size_t>(options_.batch_size));
}

StepMetrics Learner::metrics_of(MatrixView<const float> z) {
  return {.loss = loss_step_.value,
          .code_entropy = loss_step_.codes_entropy,
          .prototypes_used = loss_step_.prototypes_used,
          .feature_spread = std::sqrt(static_cast<double>(z.cols)) * spread_of(z.middle_rows(0, share_))};
}

// Of all ranks' embeddings in a view, of which `z` are this rank's.
double Learner::spread_of(MatrixView<const float> z) {
  if (ranks_.size() > 1) {
    first_view_.setZero();
    first_view_.middleRows(ranks_.rank() * share_, share_) = detail::as_eigen(z);
    ranks_.sum(first_view_.data(), first_view_.size());
    z = first_view_;
  }
  return feature_spread(z, EigenDevice(options_.threads), spread_workspace_);
}

void Learner::follow_schedules() {
  loss_.set_temperature(scheduled(options_.temperature, options_.final_temperature));
  loss_.set_epsilon(epsilon());
}

double Learner::epsilon() const { return scheduled(options_.epsilon, options_.final_epsilon); }

double Learner::scheduled(double first, double last) const {
  const double part = total_steps_ > 1 ? static_cast<double>(steps_done_) / static_cast<double>(total_steps_ - 1) : 0.0;
  return last > 0 ? std::lerp(first, last, part) : first;
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

}  // namespace swav::resnet
