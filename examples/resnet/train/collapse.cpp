// The bounds of CollapseMonitor and the remedies; the remedies are those of the SwAV release's notes.
#include "train/collapse.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace swav::resnet {
namespace {

// Loss over ln K of a network that tells nothing apart is 1; one that learns is clearly below within some hundred
// steps.
constexpr double highest_loss_over_ln_k = 0.985;
// Above ln K the predictions are surer than they are right; a network that tells nothing apart is not.
constexpr double clearly_above_ln_k = 1.1;
// Of the prototypes that as many codes would reach if they were drawn evenly.
constexpr double lowest_share_used = 0.2;
// Steps with the prototypes free before a look: until then a network need not have learned anything.
constexpr Index steps_to_settle = 100;
// Of the spread of embeddings that fill the sphere.
constexpr double lowest_spread = 0.1;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

}  // namespace

CollapseMonitor::CollapseMonitor(const TrainOptions& options, Index steps_per_epoch)
    : options_(options), steps_per_epoch_(steps_per_epoch) {
  recent_.reserve(window);
}

std::vector<std::string> CollapseMonitor::add(const StepRecord& record) {
  if (recent_.size() < window)
    recent_.push_back(record);
  else
    recent_[next_] = record;
  next_ = (next_ + 1) % window;
  ++unseen_;

  const bool due = record.step % steps_per_epoch_ == 0 || record.step == steps_per_epoch_ / 2;
  if (!due || unseen_ < window || record.step < options_.freeze_prototypes + steps_to_settle) return {};
  unseen_ = 0;

  double loss = 0, used = 0, spread = 0;
  for (const StepRecord& r : recent_) {
    loss += r.loss_over_ln_k;
    used += static_cast<double>(r.prototypes_used);
    spread += r.feature_spread;
  }
  const double count = static_cast<double>(recent_.size());
  loss /= count;
  used /= count;
  spread /= count;

  std::vector<std::string> warnings;
  if (loss > clearly_above_ln_k)
    warnings.push_back(
        "the loss is above ln K (" + number(loss) +
        " of it): the network is sure of what is wrong. Try a lower --lr, a longer --warmup-epochs, or a "
        "higher --temperature");
  else if (loss > highest_loss_over_ln_k)
    warnings.push_back("the loss is stuck at ln K (" + number(loss) +
                       " of it): nothing is learned yet. Try --epsilon 0.03, a lower --lr, a longer "
                       "--freeze-prototypes, or softer crops (raise the lower ends of --large-scale and "
                       "--small-scale)");
  const double codes = static_cast<double>(options_.batch_size) * static_cast<double>(options_.crops_for_assign.size());
  double even = 0;
  for (const std::ptrdiff_t head : head_prototypes(options_)) {
    const auto prototypes = static_cast<double>(head);
    even += prototypes * (1 - std::exp(-codes / prototypes));
  }
  if (used < lowest_share_used * even)
    warnings.push_back("few prototypes are used (" + number(used) + " a step, about " + number(even) +
                       " if even): the codes are collapsing. Try --epsilon 0.03, a longer --freeze-prototypes, or "
                       "fewer --prototypes");
  if (spread < lowest_spread)
    warnings.push_back("the embeddings have no spread (" + number(spread) +
                       ", 1 is a full sphere): the network maps all images to one point. Try a lower --lr, a longer "
                       "--warmup-epochs and --freeze-prototypes");
  return warnings;
}

std::vector<std::string> doubtful_settings(const TrainOptions& o) {
  std::vector<std::string> doubts;
  const auto heads = head_prototypes(o);
  const std::ptrdiff_t prototypes = *std::max_element(heads.begin(), heads.end());
  const std::ptrdiff_t rows = std::ptrdiff_t{step_images(o)} + o.queue_length;
  if (rows < prototypes)
    doubts.push_back(
        std::to_string(rows) +
        " images a step (--batch-size, --accumulate) and in the queue (--queue-length)"
        " are less than " +
        std::to_string(prototypes) +
        " prototypes: codes cannot reach every one. If the loss stays at ln K, lower --prototypes or raise "
        "one of these");
  return doubts;
}

}  // namespace swav::resnet
