// The dry run: a learner's first steps, timed. In: settings. Out: printed lines.
#include "train/dry_run.hpp"

#include <omp.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "data/dataset.hpp"
#include "train/learner.hpp"
#include "train/progress.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {
namespace {

// The first sets things up and is left out.
constexpr int timed_steps = 3;
constexpr double long_enough = 60;  // seconds

double most_mebibytes_so_far() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace

void dry_run(const TrainOptions& settings, const RankGroup& ranks) {
  if (settings.threads > 0) omp_set_num_threads(settings.threads);
  // Clusters are found at an epoch's start, from all of an epoch: more than a few steps.
  TrainOptions options = settings;
  options.objective = "swav";
  const Dataset data =
      load_dataset(options.data, options.data_dir,
                   {.cache_bytes = std::size_t(options.cache_mib) << 20, .max_bad_share = options.max_bad_share});
  std::printf("%s: %s; preset %s\n", printable(data.name).c_str(), printable(data.pretraining().describe()).c_str(),
              options.preset.c_str());
  Learner learner(options, data.pretraining(), data.normalization, ranks);
  std::printf("%s\n", learner.network().describe().c_str());
  const Index steps =
      options.max_steps > 0 ? std::min<Index>(options.max_steps, learner.total_steps()) : learner.total_steps();
  std::printf("%td steps of %d images, epochs of %td steps; %s\n", steps, step_images(options),
              learner.steps_per_epoch(), learner.precision() == Precision::bfloat16 ? "bfloat16" : "float32");
  std::fflush(stdout);

  double least = 0, all = 0;
  for (int step = 0; step <= timed_steps && step < learner.total_steps() && all < long_enough; ++step) {
    const auto start = std::chrono::steady_clock::now();
    (void)learner.step();
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    ranks.maximum(&seconds, 1);  // all end after the same step
    all += seconds;
    least = step <= 1 ? seconds : std::min(least, seconds);
  }
  double values = 0;
  for (const StateTensor& tensor : learner.state()) values += static_cast<double>(tensor.value.size());
  std::printf("memory%s: %.0f MiB at most so far; a checkpoint: %.0f MiB\n", ranks.size() > 1 ? " of a rank" : "",
              most_mebibytes_so_far(), values * sizeof(float) / (1 << 20));
  if (options.device == "cuda")
    std::printf("memory of the GPU: %.0f MiB in use, images and crops counted\n",
                static_cast<double>(learner.gpu_bytes()) / (1 << 20));
  if (all > 0)
    std::printf(
        "time: %.3g s a step, %.4g images/s; about %s of training, evaluations not counted\n", least,
        step_images(options) / least,
        duration_text(options.time_budget > 0 ? std::min(options.time_budget, least * static_cast<double>(steps))
                                              : least * static_cast<double>(steps))
            .c_str());
  if (settings.objective != "swav")
    std::printf(
        "of --objective %s neither are the embeddings of all images, %.0f MiB, nor the time that their clusters "
        "take at the start of each epoch, nor the pass before the first\n",
        settings.objective.c_str(),
        static_cast<double>(settings.crops_for_assign.size()) * static_cast<double>(settings.embedding) *
            static_cast<double>(learner.steps_per_epoch()) * step_images(settings) * sizeof(float) / (1 << 20));
  std::printf("dry run: nothing is written\n");
}

}  // namespace swav::resnet
