// The first lines of a run. In: settings, data, what learns. Out: text.
#include "train/introduction.hpp"

#include <omp.h>

#include "swav/core/error.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {

std::string introduction(const TrainOptions& options, const Dataset& data, Learner& learner,
                         const std::string& no_accuracies, Index last_step, int ranks) {
  const ImageSource& images = data.pretraining();
  const int workers = resolve_workers(options, images);
  const std::string no_evaluation =
      options.evaluate && !no_accuracies.empty() ? "no accuracies: " + no_accuracies + '\n' : "";
  const std::string ranks_of = ranks > 1 ? std::to_string(ranks) + " ranks of " : "";
  return detail::concatenate(
      printable(data.name), ": ", printable(images.describe()), "; preset ", options.preset, '\n', no_evaluation,
      learner.network().describe(), '\n', last_step, " steps of ", step_images(options), " images, epochs of ",
      learner.steps_per_epoch(), " steps; ", learner.precision() == Precision::bfloat16 ? "bfloat16" : "float32", "; ",
      ranks_of, omp_get_max_threads(), " threads, ",
      workers > 0 ? std::to_string(workers) + " more for data" : "data by the same", "; in ", options.output, '\n');
}

}  // namespace swav::resnet
