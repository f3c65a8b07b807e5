// Checks and records of settings. In: TrainOptions or their JSON. Out: the other, or a named error.
#include "train/options.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "swav/core/error.hpp"

namespace swav::resnet {
namespace {

template <class T>
void at_least(const char* flag, T value, T least) {
  detail::require(std::isfinite(static_cast<double>(value)) && value >= least, flag, ": ", value, " found, ", least,
                  " or more wanted");
}

void above_zero(const char* flag, double value) {
  detail::require(std::isfinite(value) && value > 0, flag, ": ", value, " found, more than 0 wanted");
}

void probability(const char* flag, double value) {
  detail::require(value >= 0 && value <= 1, flag, ": ", value, " found, 0 to 1 wanted");
}

void range(const char* flag, const std::array<double, 2>& value, double highest) {
  detail::require(value[0] > 0 && value[0] <= value[1] && value[1] <= highest, flag, ": ", value[0], " ", value[1],
                  " found, two ascending numbers above 0 and up to ", highest, " wanted");
}

}  // namespace

std::vector<std::ptrdiff_t> head_prototypes(const TrainOptions& o) {
  if (o.heads.empty()) return {o.prototypes};
  return {o.heads.begin(), o.heads.end()};
}

double mean_ln_k(const TrainOptions& o) {
  double sum = 0;
  const auto heads = head_prototypes(o);
  for (const std::ptrdiff_t prototypes : heads) sum += std::log(static_cast<double>(prototypes));
  return sum / static_cast<double>(heads.size());
}

void validate(const TrainOptions& o) {
  at_least("--workers", o.workers, -1);
  detail::require(o.workers <= 1024, "--workers: ", o.workers, " found, 1024 or less wanted");
  at_least("--cache-mib", o.cache_mib, 0);
  probability("--max-bad-share", o.max_bad_share);

  detail::require(o.depth == 10 || o.depth == 18 || o.depth == 34 || o.depth == 50, "--depth: ", o.depth,
                  " found, 10, 18, 34 or 50 wanted");
  // oneDNN's fast kernels take channels in blocks of 16; with others a step takes many times as long.
  detail::require(o.width > 0 && o.width % 16 == 0, "--width: ", o.width, " found, a positive multiple of 16 wanted");
  at_least("--hidden", o.hidden, 1);
  at_least("--embedding", o.embedding, 2);

  at_least("--large-crops", o.large_crops, 2);
  at_least("--large-size", o.large_size, 8);
  range("--large-scale", o.large_scale, 1.0);
  at_least("--small-crops", o.small_crops, 0);
  if (o.small_crops > 0) {
    at_least("--small-size", o.small_size, 8);
    range("--small-scale", o.small_scale, 1.0);
  }
  probability("--flip", o.flip);
  at_least("--brightness", o.brightness, 0.0);
  at_least("--contrast", o.contrast, 0.0);
  at_least("--saturation", o.saturation, 0.0);
  detail::require(o.hue >= 0 && o.hue <= 0.5, "--hue: ", o.hue, " found, 0 to 0.5 wanted");
  probability("--jitter-probability", o.jitter_probability);
  probability("--grayscale", o.grayscale);
  probability("--blur", o.blur);
  range("--blur-sigma", o.blur_sigma, 100.0);

  at_least("--prototypes", o.prototypes, 2);
  for (const int prototypes : o.heads) at_least("--heads", prototypes, 2);
  above_zero("--temperature", o.temperature);
  at_least("--final-temperature", o.final_temperature, 0.0);
  above_zero("--epsilon", o.epsilon);
  at_least("--final-epsilon", o.final_epsilon, 0.0);
  at_least("--sinkhorn-iterations", o.sinkhorn_iterations, o.objective == "swav" ? 0 : 1);
  detail::require(!o.crops_for_assign.empty(), "--crops-for-assign: none found, at least one view wanted");
  for (const int view : o.crops_for_assign) {
    detail::require(view >= 0 && view < o.large_crops, "--crops-for-assign: ", view, " found, a large crop (0 to ",
                    o.large_crops - 1, ") wanted");
    detail::require(std::count(o.crops_for_assign.begin(), o.crops_for_assign.end(), view) == 1,
                    "--crops-for-assign: ", view, " found twice, distinct views wanted");
  }
  at_least("--freeze-prototypes", o.freeze_prototypes, 0);
  at_least("--queue-length", o.queue_length, 0);
  at_least("--queue-start-epoch", o.queue_start_epoch, 0);
  detail::require(o.momentum_encoder >= 0 && o.momentum_encoder < 1, "--momentum-encoder: ", o.momentum_encoder,
                  " found, 0 to below 1 wanted");

  if (o.sinkhorn_iterations == 0) {
    detail::require(o.queue_length == 0, "--queue-length: found with --sinkhorn-iterations 0, 1 or more wanted");
    detail::require(o.momentum_encoder == 0,
                    "--momentum-encoder: found with --sinkhorn-iterations 0, 1 or more wanted");
  }
  if (o.objective != "swav") {
    const auto only_swav = [&](const char* flag, bool used) {
      detail::require(!used, flag, ": found with --objective ", o.objective, ", swav wanted");
    };
    only_swav("--queue-length", o.queue_length > 0);
    only_swav("--momentum-encoder", o.momentum_encoder > 0);
    only_swav("--hard-codes", o.hard_codes);
    only_swav("--final-epsilon", o.final_epsilon > 0);
  }

  at_least("--batch-size", o.batch_size, 2);
  at_least("--accumulate", o.accumulate, 1);
  detail::require(o.accumulate <= (1 << 30) / o.batch_size, "--accumulate: ", o.accumulate, " batches of ",
                  o.batch_size, " found, ", 1 << 30, " images a step or fewer wanted");
  at_least("--epochs", o.epochs, 0);
  detail::require(o.optimizer == "sgd" || !o.larc, "--larc: found with --optimizer ", o.optimizer, ", sgd wanted");
  at_least("--start-lr", o.start_learning_rate, 0.0);
  above_zero("--lr", o.learning_rate);
  at_least("--final-lr", o.final_learning_rate, 0.0);
  at_least("--warmup-epochs", o.warmup_epochs, 0.0);
  detail::require(o.momentum >= 0 && o.momentum < 1, "--momentum: ", o.momentum, " found, 0 to below 1 wanted");
  at_least("--weight-decay", o.weight_decay, 0.0);
  at_least("--threads", o.threads, 0);
  detail::require(o.threads <= 1024, "--threads: ", o.threads, " found, 1024 or less wanted");
  detail::require(o.decode == "cpu" || o.device == "cuda", "--decode: gpu found with --device ", o.device,
                  ", cuda wanted");
  detail::require(o.decode == "cpu" || o.data == "imagefolder", "--decode: gpu found with --data ", o.data,
                  ", imagefolder wanted: other data sets have no JPEG files");
  at_least("--time-budget", o.time_budget, 0.0);
  at_least("--max-steps", o.max_steps, 0);
  at_least("--checkpoint-interval", o.checkpoint_interval, 0);
  at_least("--eval-interval", o.eval_interval, 0);
}

void validate_for_ranks(const TrainOptions& o, int ranks) {
  detail::require(o.batch_size % ranks == 0, "--batch-size: ", o.batch_size, " found with ", ranks,
                  " ranks, a multiple of these wanted: each takes an equal share");
  detail::require(ranks == 1 || o.objective == "swav", "--objective: ", o.objective, " found with ", ranks,
                  " ranks, swav wanted: clusters of all images are found by one process alone");
}

nlohmann::json to_json(const TrainOptions& options) {
  nlohmann::json record{{"preset", options.preset}};
  visit_options(options, [&](const OptionInfo& info, const auto& value) { record[record_name(info)] = value; });
  return record;
}

void from_json(const nlohmann::json& record, TrainOptions& options) {
  try {
    record.at("preset").get_to(options.preset);
    visit_options(options, [&](const OptionInfo& info, auto& value) {
      const std::string name = record_name(info);
      if (!info.run_only || record.contains(name)) record.at(name).get_to(value);
    });
  } catch (const nlohmann::json::exception& error) {
    throw InvalidInput(std::string("recorded options: ") + error.what());
  }
}

}  // namespace swav::resnet
