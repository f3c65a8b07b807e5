// The run's record, metrics.jsonl: one JSON object a line. In: what was measured. Out: the file, and its lines read
// back.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "swav/core/matrix_view.hpp"

namespace swav::resnet {

struct StepRecord {
  Index step = 0;   // from 1
  Index epoch = 0;  // from 1
  double loss = 0;
  double loss_over_ln_k = 0;
  double code_entropy = 0;
  Index prototypes_used = 0;
  double feature_spread = 0;
  double learning_rate = 0;
  double images_per_second = 0;
  double seconds = 0;       // the step took
  double data_seconds = 0;  // of these, until its batch was there
};

struct EvaluationRecord {
  Index step = 0;
  Index epoch = 0;
  double knn_accuracy = 0;
  double linear_accuracy = 0;
  double training_seconds = 0;
  double evaluation_seconds = 0;
};

struct WarningRecord {
  Index step = 0;
  Index epoch = 0;
  std::string text;
};

/// All that a metrics file holds, in order within each kind.
struct MetricsHistory {
  std::vector<StepRecord> steps;
  std::vector<EvaluationRecord> evaluations;
  std::vector<WarningRecord> warnings;
};

class MetricsLog {
 public:
  /// Opens the file to append to. What a run may have written after the checkpoint of `last_step` is removed first:
  /// lines of later steps, that step's evaluation, a line that was cut off. Throws FileError when the file cannot be
  /// written, or holds something else.
  MetricsLog(const std::filesystem::path& path, Index last_step);

  /// A line each, in the file when the call returns. Allocates nothing for a step.
  void write(const StepRecord& record);
  void write(const EvaluationRecord& record);
  void write(const WarningRecord& record);

  /// Waits until the lines are on the disk.
  void sync();

 private:
  void write_line(const char* text, std::size_t length);

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

/// Throws FileError, which names file and line, for what is no metrics file.
[[nodiscard]] MetricsHistory read_metrics(const std::filesystem::path& path);

}  // namespace swav::resnet
