// The report of a run: one HTML file that needs nothing else. In: what the run was and measured. Out: the file.
#pragma once

#include <string>

#include "data/dataset.hpp"
#include "train/evaluation.hpp"
#include "train/learner.hpp"
#include "train/metrics.hpp"
#include "train/options.hpp"

namespace swav::resnet {

struct ReportInput {
  const TrainOptions& options;
  const Dataset& data;
  Learner& learner;
  const Features& features;
  const MetricsHistory& history;
  double training_seconds = 0;
  double evaluation_seconds = 0;
};

/// Replaces the file as a whole. Throws FileError when it cannot be written.
void write_report(const std::string& path, const ReportInput& input);

}  // namespace swav::resnet
