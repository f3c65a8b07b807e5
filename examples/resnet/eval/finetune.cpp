// One network and one training for each share of the labels. In: a session. Out: a curve.
#include "eval/finetune.hpp"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "eval/json_lines.hpp"
#include "eval/softmax_layer.hpp"
#include "eval/subset.hpp"
#include "eval/tuner.hpp"
#include "swav/core/error.hpp"
#include "swav/crops/multi_crop.hpp"
#include "swav/evaluate/labels.hpp"
#include "swav/optim/schedule.hpp"
#include "train/data_order.hpp"
#include "train/image_feed.hpp"
#include "train/parallel_images.hpp"

namespace swav::resnet {
namespace {

void check(const FinetuneCommand& o) {
  detail::require(!o.shares.empty(), "--labels: none found, a share of the labels wanted");
  detail::require(o.epochs >= 1, "--epochs: ", o.epochs, " found, 1 or more wanted");
  detail::require(o.min_steps >= 0, "--min-steps: ", o.min_steps, " found, 0 or more wanted");
  detail::require(o.head_steps >= 0, "--head-steps: ", o.head_steps, " found, 0 or more wanted");
  detail::require(o.batch_size >= 2, "--batch-size: ", o.batch_size, " found, 2 or more wanted");
  detail::require(o.learning_rate >= 0 && o.head_learning_rate > 0, "--lr, --head-lr: ", o.learning_rate, " and ",
                  o.head_learning_rate, " found, 0 or more and above 0 wanted");
}

std::vector<CropSpec> crops_of(const FinetuneCommand& o, Index size, const Normalization& normalization) {
  return {{.count = 1,
           .size = size,
           .scale = {o.scale[0], o.scale[1]},
           .flip = o.flip,
           .jitter = {.brightness = 0, .contrast = 0, .saturation = 0, .hue = 0, .probability = 0},
           .grayscale = 0,
           .blur = {.probability = 0},
           .normalize = normalization}};
}

/// A network with a linear layer, and its training on the images chosen.
class Finetuning {
 public:
  Finetuning(const Session& session, const FinetuneCommand& options, std::vector<Index> chosen)
      : session_(session),
        options_(options),
        images_(*session.data().training),
        chosen_(std::move(chosen)),
        batch_(std::min<Index>(options.batch_size, std::ssize(chosen_))),
        epochs_(std::max<Index>(options.epochs, (options.min_steps + per_epoch() - 1) / per_epoch())),
        crops_(crops_of(options, session.size(), session.data().normalization)),
        network_(make_network()),
        feed_(make_feed(network_->processor(), {network_->images(0), batch_, images_.channels(), session.size(),
                                                session.data().normalization})),
        tuner_(make_tuner({*network_,
                           random_classifier(*std::ranges::max_element(images_.labels) + 1,
                                             network_->feature_dimension(), options.seed),
                           options.weight_decay})),
        order_(chosen_.size()),
        labels_(static_cast<std::size_t>(batch_)) {
    for (int thread = 0; thread < omp_get_max_threads(); ++thread) readers_.push_back(images_.reader());
  }

  /// Returns the last epoch's mean loss.
  double train() {
    double loss = 0;
    for (Index step = 0; step < steps(); ++step) {
      load(step);
      const auto rate = [&](double base) { return warmup_cosine({.base = base, .total_steps = steps()}, step); };
      std::optional<double> trunk_rate;
      if (step >= options_.head_steps) trunk_rate = rate(options_.learning_rate);
      tuner_->step(labels_, rate(options_.head_learning_rate), trunk_rate);
      if ((step + 1) % per_epoch() == 0) loss = tuner_->take_loss();
    }
    network_->download();
    return loss / static_cast<double>(per_epoch());
  }

  struct Measured {
    double accuracy;
    Index images;
  };
  /// On the test images that can be read.
  [[nodiscard]] Measured test() {
    const Dataset& data = session_.data();
    const PartFeatures features =
        extract_part(*network_, session_.precision(), *data.test, data.normalization, session_.size());
    const SoftmaxLayer layer(tuner_->classifier());
    return {swav::accuracy(layer.predict(features.rows), features.labels), features.rows.rows()};
  }

  [[nodiscard]] std::string protocol() const {
    const FinetuneCommand& o = options_;
    const bool alone = o.head_steps >= steps();
    return detail::concatenate(
        alone ? "the linear layer alone trained from " : "all layers trained from ",
        o.from_scratch ? "scratch" : "the checkpoint", " on ", chosen_.size(), " of ", images_.count(),
        " training images of ", session_.data().name, ", each class's share, seed ", o.seed, "; ", epochs_, " epochs, ",
        steps(), " steps of ", batch_, "; SGD, momentum 0.9, rates ", o.learning_rate, " (backbone) and ",
        o.head_learning_rate, " (linear layer) falling by half a cosine, weight decay ", o.weight_decay,
        o.head_steps > 0 && !alone ? detail::concatenate(", the backbone from step ", o.head_steps + 1) : std::string(),
        "; random crops of ", session_.size(), " pixels, ", o.scale[0], " to ", o.scale[1], " of the area, flip ",
        o.flip, "; after the last step classified by ", features_protocol(*session_.data().test, session_.size()));
  }

  void save(const std::string& path) {
    std::vector<StoredTensor> tensors;
    for (const NamedTensor& tensor : network_->tensors())
      tensors.push_back(stored_tensor<float>(tensor.name, tensor.shape, tensor.value));
    const Classifier fc = tuner_->classifier();
    tensors.push_back(stored_tensor<float>("fc.weight", {fc.classes, fc.features}, fc.weight));
    tensors.push_back(stored_tensor<float>("fc.bias", {fc.classes}, fc.bias));
    write_safetensors(path, tensors, {{"format", "pt"}});
  }

 private:
  [[nodiscard]] Index per_epoch() const { return std::ssize(chosen_) / batch_; }
  [[nodiscard]] Index steps() const { return epochs_ * per_epoch(); }

  [[nodiscard]] std::unique_ptr<Network> make_network() const {
    Architecture architecture = session_.stored().architecture();
    architecture.head = false;
    const std::vector<ImageGroup> groups{{batch_, static_cast<int>(session_.size())}};
    return options_.from_scratch
               ? std::make_unique<Network>(architecture, groups, session_.precision(), options_.seed,
                                           Gradients::computed, RankGroup(), session_.processor())
               : session_.stored().network(architecture, groups, session_.precision(), session_.processor());
  }

  /// Batch `step`: a crop an image. One that cannot be read is replaced by the next of the epoch's order that can.
  void load(Index step) {
    const Index epoch = step / per_epoch();
    if (step % per_epoch() == 0) epoch_order(options_.seed, static_cast<std::uint64_t>(epoch), order_);
    const Index first = step % per_epoch() * batch_;
    for_each_image(batch_, [&](Index b, std::size_t thread) {
      ImageView<std::uint8_t> image;
      Index i = 0;
      for (std::size_t ahead = 0; image.data == nullptr && ahead < order_.size(); ++ahead) {
        i = chosen_[static_cast<std::size_t>(order_[(static_cast<std::size_t>(first + b) + ahead) % order_.size()])];
        image = readers_[thread]->read(i);
      }
      if (image.data == nullptr) throw FileError(images_.describe(), "none of those with labels can be read");
      labels_[static_cast<std::size_t>(b)] = images_.labels[static_cast<std::size_t>(i)];
      const CropKey key{options_.seed, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(i)};
      feed_->put(b, image, crops_.plan(key, image.height, image.width, 0));
    });
    feed_->finish();
  }

  const Session& session_;
  const FinetuneCommand& options_;
  const ImageSource& images_;
  std::vector<Index> chosen_;
  Index batch_, epochs_;
  MultiCropSampler crops_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<ImageFeed> feed_;
  std::unique_ptr<Tuner> tuner_;
  std::vector<Index> order_;
  std::vector<int> labels_;
  std::vector<std::unique_ptr<ImageReader>> readers_;
};

}  // namespace

void run_finetune(Session& session, const FinetuneCommand& command) {
  check(command);
  const Dataset& data = session.data();
  detail::require(data.has_classes(), "--data: ", data.name, " found, training and test images with classes wanted");
  for (const double share : command.shares) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<Index> chosen = balanced_subset(data.training->labels, share, command.seed);
    detail::require(chosen.size() >= 2, "--labels: ", share,
                    " found, which gives 1 image, a share for 2 or more wanted");
    const std::size_t count = chosen.size();
    Finetuning training(session, command, std::move(chosen));
    const double loss = training.train();
    const auto [accuracy, tested] = training.test();
    session.tell_problems();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    session.report("finetune", training.protocol(),
                   {{"labels", share},
                    {"images", count},
                    {"test_images", tested},
                    {"from_scratch", command.from_scratch},
                    {"seed", command.seed},
                    {"accuracy", accuracy},
                    {"training_loss", loss},
                    {"seconds", seconds.count()}});
    std::fflush(stdout);
    if (!command.save.empty()) training.save(command.save);
  }
}

}  // namespace swav::resnet
