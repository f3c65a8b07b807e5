// The loop around the learner: progress, metrics, checkpoints, evaluations, report. In: settings. Out: a run's folder.
#include "train/run.hpp"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "data/dataset.hpp"
#include "report/report.hpp"
#include "swav/core/error.hpp"
#include "swav/io/file_error.hpp"
#include "train/checkpoint.hpp"
#include "train/collapse.hpp"
#include "train/evaluation.hpp"
#include "train/initial_weights.hpp"
#include "train/interrupt.hpp"
#include "train/introduction.hpp"
#include "train/learner.hpp"
#include "train/metrics.hpp"
#include "train/progress.hpp"
#include "train/rank_agreement.hpp"
#include "train/run_folder.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Run {
 public:
  Run(const TrainOptions& options, const std::string& program, const RankGroup& ranks)
      : options_(with_precision_resolved(options)),
        ranks_(ranks),
        writes_(ranks.rank() == 0),
        program_(program),
        folder_(options.output),
        data_(load_dataset(
            options.data, options.data_dir,
            {.cache_bytes = std::size_t(options.cache_mib) << 20, .max_bad_share = options.max_bad_share})),
        learner_(options, data_.pretraining(), data_.normalization, ranks),
        monitor_(options, learner_.steps_per_epoch()),
        position_(first_position(data_.pretraining())) {
    is_resumed_ = options_.resume && has_checkpoint(folder_);
    if (!is_resumed_ && !options_.init.empty())
      initial_weights_ = take_initial_weights(StoredNetwork(options_.init), learner_);
    if (writes_) prepare_folder(options_);
    no_accuracies_ = why_no_accuracies(data_, image_counts(data_));
    if (is_resumed_) position_ = restore_checkpoint(folder_, learner_, position_);
    require_one_run(ranks_, position_);  // none has written anything yet
    ln_k_ = mean_ln_k(options_);
    if (!writes_) return;
    const std::filesystem::path metrics = folder_ / "metrics.jsonl";
    const bool metrics_lost = position_.step > 0 && !std::filesystem::exists(metrics);
    log_.emplace(metrics, position_.step);
    progress_.emplace(last_step(), learner_.steps_per_epoch());
    if (metrics_lost)
      warn(metrics.string() + " is missing: the record and the report's charts begin after step " +
           std::to_string(position_.step));
  }

  int go() {
    introduce();
    if (position_.step == 0) save();
    try {
      {
        // Not over the last evaluation: its checkpoint is written, a signal may end it at once.
        const InterruptGuard interrupts;
        train();
      }
      if (writes_) progress_->finish();
      if (signal_ != 0) {
        save();
        tell_stop("step");
        return 128 + signal_;
      }
      if (position_.step < learner_.total_steps()) tell_stop("--max-steps");
      if (writes_) conclude();
      ranks_.wait();
      return 0;
    } catch (const FileError&) {
      stop_by_error();
      throw;
    }
  }

 private:
  void train() {
    while (true) {
      if (due_for_evaluation()) evaluate_between_steps();
      signal_ = static_cast<int>(largest_of_ranks(ranks_, InterruptGuard::pending()));
      if (finished() || signal_ != 0) return;
      step();
    }
  }

  // Most often too many images cannot be read: all are named, and the run can go on once they are mended.
  void stop_by_error() {
    if (!writes_) return;
    progress_->finish();
    try {
      warn_of_problems();
      save();
    } catch (const FileError& error) {  // a second one, which is not to hide the first
      progress_->message(error.what());
    }
    tell_stop("step");
  }

  void introduce() {
    std::printf("%s", introduction(options_, data_, learner_, no_accuracies_, last_step(), ranks_.size()).c_str());
    if (!initial_weights_.empty()) std::printf("%s\n", printable(initial_weights_).c_str());
    if (is_resumed_)
      std::printf("resumed at step %td\n", position_.step);
    else if (options_.resume)
      std::printf("no checkpoint in %s yet: starting from the beginning\n", options_.output.c_str());
    if (position_.step == 0)
      for (const std::string& doubt : doubtful_settings(options_)) warn(doubt);
    std::fflush(stdout);
  }

  void tell_stop(const char* at) const {
    std::printf("stopped at %s %td of %td; continue with: %s\n", at, position_.step, learner_.total_steps(),
                resume_command(program_, options_, ranks_.launcher()).c_str());
  }

  [[nodiscard]] Index epoch() const {
    return position_.step == 0 ? 1 : (position_.step - 1) / learner_.steps_per_epoch() + 1;
  }

  [[nodiscard]] Index last_step() const {
    return options_.max_steps > 0 ? std::min<Index>(options_.max_steps, learner_.total_steps())
                                  : learner_.total_steps();
  }
  [[nodiscard]] bool finished() const { return position_.step >= last_step(); }

  [[nodiscard]] bool due_for_evaluation() const {
    if (!options_.evaluate || !no_accuracies_.empty() || options_.eval_interval == 0) return false;
    const Index interval = options_.eval_interval * learner_.steps_per_epoch();
    return position_.step > 0 && !finished() && position_.step % interval == 0 && evaluated_step_ != position_.step;
  }

  StepMetrics learn() {
    try {
      return learner_.step();
    } catch (const BatchFailure&) {
      warn_of_problems_of_ranks();
      throw;
    }
  }

  void step() {
    const Clock::time_point start = Clock::now();
    const StepMetrics metrics = learn();
    position_.step = learner_.steps_done();
    const double seconds = seconds_since(start);
    position_.training_seconds += seconds;
    // A mean over about 20 steps; the first, which sets things up, is left out.
    seconds_per_step_ = steps_here_ <= 1 ? seconds : seconds_per_step_ + (seconds - seconds_per_step_) / 20;
    ++steps_here_;

    const StepRecord record{.step = position_.step,
                            .epoch = epoch(),
                            .loss = metrics.loss,
                            .loss_over_ln_k = metrics.loss / ln_k_,
                            .code_entropy = metrics.code_entropy,
                            .prototypes_used = metrics.prototypes_used,
                            .feature_spread = metrics.feature_spread,
                            .learning_rate = metrics.learning_rate,
                            .images_per_second = step_images(options_) / seconds_per_step_,
                            .seconds = seconds,
                            .data_seconds = metrics.data_seconds};
    if (writes_) {
      log_->write(record);
      progress_->step(record, seconds_per_step_);
    }
    for (const std::string& warning : monitor_.add(record)) warn(warning);
    warn_of_problems_of_ranks();
    const bool planned = plan_for_budget();

    const bool epoch_ends = position_.step % learner_.steps_per_epoch() == 0;
    const bool interval_ends = options_.checkpoint_interval > 0 && position_.step % options_.checkpoint_interval == 0;
    if (epoch_ends || interval_ends || planned || finished()) save();
    position_.training_seconds += seconds_since(start) - seconds;
  }

  // Once, so that the schedule is the same for the rest of the run. Whether it was now: the checkpoint has to say so
  // before a resume could plan anew.
  bool plan_for_budget() {
    constexpr Index planning_step = 100;
    if (options_.time_budget <= 0 || position_.step != planning_step) return false;
    const double left = options_.time_budget - position_.training_seconds;
    double more = writes_ ? std::floor(std::max(0.0, left) / seconds_per_step_) : 0.0;
    ranks_.sum(&more, 1);  // rank 0's
    const Index steps = planning_step + static_cast<Index>(more);
    if (steps < learner_.total_steps()) learner_.set_total_steps(steps);
    if (!writes_) return true;
    progress_->set_total_steps(last_step());
    progress_->message("time budget: " + std::to_string(learner_.total_steps()) + " steps planned");
    return true;
  }

  void warn(const std::string& text) {
    if (!writes_) return;
    log_->write(WarningRecord{position_.step, epoch(), text});
    progress_->message("warning: " + text);
  }

  void warn_of_problems() {
    for (const std::string& problem : data_.take_problems()) warn(problem);
  }
  void warn_of_problems_of_ranks() {
    for (const std::string& problem : of_all_ranks(ranks_, data_.take_problems())) warn(problem);
  }

  void save() {
    if (!writes_ || saved_step_ == position_.step) return;
    log_->sync();
    position_.total_steps = learner_.total_steps();
    write_checkpoint(folder_, options_, learner_, position_);
    saved_step_ = position_.step;
  }

  // Others wait for rank 0, and go on as it does.
  void evaluate_between_steps() {
    if (writes_) (void)evaluate();
    ranks_.wait();
    const bool none = largest_of_ranks(ranks_, writes_ && !no_accuracies_.empty() ? 1 : 0) != 0;
    if (none && no_accuracies_.empty()) no_accuracies_ = "rank 0 has found none";
    evaluated_step_ = position_.step;
  }

  Features evaluate() {
    const Clock::time_point start = Clock::now();
    Features features =
        extract_features(learner_.network(), learner_.precision(), data_, evaluation_size(data_, options_));
    warn_of_problems();
    if (no_accuracies_.empty()) {
      no_accuracies_ = why_no_accuracies(data_, image_counts(features));
      if (!no_accuracies_.empty()) warn("no accuracies: " + no_accuracies_);
    }
    if (!no_accuracies_.empty()) return features;
    const Accuracies accuracies = evaluate_features(features.training, features.test, options_.threads);
    position_.evaluation_seconds += seconds_since(start);
    evaluated_step_ = position_.step;
    log_->write(EvaluationRecord{.step = position_.step,
                                 .epoch = epoch(),
                                 .knn_accuracy = accuracies.knn,
                                 .linear_accuracy = accuracies.linear,
                                 .training_seconds = position_.training_seconds,
                                 .evaluation_seconds = position_.evaluation_seconds});
    progress_->message("epoch " + std::to_string(epoch()) + ": k-NN " + percent_text(accuracies.knn) + ", linear " +
                       percent_text(accuracies.linear) + " after " + duration_text(position_.training_seconds) +
                       " of training");
    return features;
  }

  void conclude() {
    if (!options_.evaluate) {
      std::printf("training %.0f s, not evaluated; checkpoint %s\n", position_.training_seconds,
                  checkpoint_path(folder_).c_str());
      return;
    }
    if (no_accuracies_.empty())
      std::printf("evaluating: %td training images, %td test images\n", data_.training->count(), data_.test->count());
    std::fflush(stdout);
    const Features features = evaluate();
    if (no_accuracies_.empty())
      std::printf("measured by %s\n",
                  evaluation_protocol(data_, evaluation_size(data_, options_), image_counts(features)).c_str());
    log_->sync();
    const std::string report = (folder_ / "report.html").string();
    write_report(report, {.options = options_,
                          .data = data_,
                          .learner = learner_,
                          .features = features,
                          .history = read_metrics(folder_ / "metrics.jsonl"),
                          .training_seconds = position_.training_seconds,
                          .evaluation_seconds = position_.evaluation_seconds});
    warn_of_problems();
    std::printf("training %.0f s, evaluation %.0f s\nreport: %s\n", position_.training_seconds,
                position_.evaluation_seconds, report.c_str());
  }

  TrainOptions options_;
  RankGroup ranks_;
  bool writes_;
  std::string program_;
  std::filesystem::path folder_;
  Dataset data_;
  Learner learner_;
  CollapseMonitor monitor_;
  RunPosition position_;
  std::string initial_weights_;
  std::optional<MetricsLog> log_;
  std::optional<Progress> progress_;
  bool is_resumed_ = false;
  std::string no_accuracies_;  // why there are none; "" where there are
  double ln_k_ = 1;
  int signal_ = 0;  // that came to any rank
  double seconds_per_step_ = 0;
  Index steps_here_ = 0;
  Index saved_step_ = -1;
  Index evaluated_step_ = -1;
};

}  // namespace

int run_training(const TrainOptions& options, const std::string& program, const RankGroup& ranks) {
  require_no_other_run(options);
  if (options.threads > 0) omp_set_num_threads(options.threads);
  Run run(options, program, ranks);
  return run.go();
}

}  // namespace swav::resnet
