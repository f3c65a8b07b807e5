// Every setting of a training run. In: a preset, the command line or a checkpoint. Out: one checked aggregate.
// visit_options lists the settings once; the command line, --help and the checkpoint's record are all made from it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace swav::resnet {

struct TrainOptions {
  std::string preset = "fashion-mnist-quick";
  std::string data = "fashion-mnist";
  std::string data_dir = {};
  int workers = -1;
  int cache_mib = 1024;
  double max_bad_share = 0.01;
  std::string output = {};
  bool resume = false;
  bool dry_run = false;
  bool overwrite = false;

  int depth = 10;
  int width = 16;
  std::string stem = "small";
  std::string init = {};
  int hidden = 256;
  int embedding = 128;

  int large_crops = 2;
  int large_size = 24;
  std::array<double, 2> large_scale = {0.3, 1.0};
  int small_crops = 2;
  int small_size = 18;
  std::array<double, 2> small_scale = {0.15, 0.5};
  double flip = 0.5;
  double brightness = 0.6;
  double contrast = 0.6;
  double saturation = 0.0;
  double hue = 0.0;
  double jitter_probability = 0.8;
  double grayscale = 0.0;
  double blur = 0.0;
  std::array<double, 2> blur_sigma = {0.1, 2.0};

  std::string objective = "swav";
  int prototypes = 100;
  std::vector<int> heads = {};
  double temperature = 0.1;
  double final_temperature = 0.0;
  double epsilon = 0.05;
  double final_epsilon = 0.0;
  int sinkhorn_iterations = 3;
  bool hard_codes = false;
  std::vector<int> crops_for_assign = {0, 1};
  int freeze_prototypes = 50;
  int queue_length = 0;
  int queue_start_epoch = 0;
  double momentum_encoder = 0.0;

  int batch_size = 128;
  int accumulate = 1;
  int epochs = 8;
  std::string optimizer = "sgd";
  bool larc = false;
  double start_learning_rate = 0.0;
  double learning_rate = 0.3;
  double final_learning_rate = 0.0;
  double warmup_epochs = 0.5;
  double momentum = 0.9;
  double weight_decay = 1e-4;
  std::string device = "cpu";
  std::string decode = "cpu";
  bool tune = false;
  std::string precision = "auto";
  std::uint64_t seed = 0;
  int threads = 0;

  double time_budget = 0.0;
  int max_steps = 0;
  int checkpoint_interval = 500;
  bool evaluate = true;
  int eval_interval = 0;
};

/// What the command line says of one setting. `run_only`: it does not decide what is computed, so a resumed run may
/// change it. `choices`: what a text may be, empty for any. `is_duration`: seconds, or a number with s, m or h.
struct OptionInfo {
  const char* group;
  const char* flag;
  const char* help;
  bool run_only = false;
  std::vector<std::string> choices = {};
  bool is_duration = false;
};

/// Calls visit(OptionInfo, member) for each setting but preset, output, resume, dry_run and overwrite, which say where
/// a run's settings come from rather than belong to them.
template <class Options, class Visit>
void visit_options(Options& o, Visit&& visit) {
  visit(OptionInfo{"Data", "--data", "Data set", false, {"fashion-mnist", "cifar10", "stl10", "imagefolder"}}, o.data);
  visit(OptionInfo{"Data", "--data-dir",
                   "Folder with its files (default: where Debian's package puts them, else data/NAME)", true},
        o.data_dir);
  visit(
      OptionInfo{"Data", "--workers",
                 "Threads that render crops ahead, for a GPU decode images; 0: the step's own do (-1: 0 for images in "
                 "memory, else --threads)",
                 true},
      o.workers);
  visit(OptionInfo{"Data", "--cache-mib", "Memory for decoded images of an image folder, 0 for none", true},
        o.cache_mib);
  visit(
      OptionInfo{"Data", "--max-bad-share", "Share of images that may turn out unreadable before the run stops", true},
      o.max_bad_share);

  visit(OptionInfo{"Network", "--depth", "ResNet depth: 10, 18, 34 or 50"}, o.depth);
  visit(OptionInfo{"Network", "--width", "Channels of the first stage, a multiple of 16; 64 is torchvision's"},
        o.width);
  visit(
      OptionInfo{
          "Network", "--stem", "small: 3x3 stride 1; imagenet: 7x7 stride 2 and pooling", false, {"small", "imagenet"}},
      o.stem);
  visit(OptionInfo{"Network", "--init",
                   "Safetensors file to take the first weights from: of swav-train, torchvision or the SwAV release"},
        o.init);
  visit(OptionInfo{"Network", "--hidden", "Hidden units of the projection head"}, o.hidden);
  visit(OptionInfo{"Network", "--embedding", "Dimension of the embeddings"}, o.embedding);

  visit(OptionInfo{"Crops", "--large-crops", "Large crops an image, at least 2"}, o.large_crops);
  visit(OptionInfo{"Crops", "--large-size", "Their side in pixels"}, o.large_size);
  visit(OptionInfo{"Crops", "--large-scale", "Range of their share of the image's area"}, o.large_scale);
  visit(OptionInfo{"Crops", "--small-crops", "Small crops an image, 0 for none"}, o.small_crops);
  visit(OptionInfo{"Crops", "--small-size", "Their side in pixels"}, o.small_size);
  visit(OptionInfo{"Crops", "--small-scale", "Range of their share of the image's area"}, o.small_scale);
  visit(OptionInfo{"Crops", "--flip", "Probability of a horizontal flip"}, o.flip);
  visit(OptionInfo{"Crops", "--brightness", "Strength of the brightness jitter"}, o.brightness);
  visit(OptionInfo{"Crops", "--contrast", "Strength of the contrast jitter"}, o.contrast);
  visit(OptionInfo{"Crops", "--saturation", "Strength of the saturation jitter"}, o.saturation);
  visit(OptionInfo{"Crops", "--hue", "Strength of the hue jitter"}, o.hue);
  visit(OptionInfo{"Crops", "--jitter-probability", "Probability of the jitter"}, o.jitter_probability);
  visit(OptionInfo{"Crops", "--grayscale", "Probability of turning grey"}, o.grayscale);
  visit(OptionInfo{"Crops", "--blur", "Probability of a Gaussian blur"}, o.blur);
  visit(OptionInfo{"Crops", "--blur-sigma", "Range of its deviation in pixels"}, o.blur_sigma);

  visit(
      OptionInfo{
          "SwAV",
          "--objective",
          "swav: views predict each other's codes; deepcluster-v2, sela-v2: clusters of all images, found once an "
          "epoch by k-means or by Sinkhorn",
          false,
          {"swav", "deepcluster-v2", "sela-v2"}},
      o.objective);
  visit(OptionInfo{"SwAV", "--prototypes", "Number of prototypes K"}, o.prototypes);
  visit(OptionInfo{"SwAV", "--heads", "Prototypes of each of several heads, in place of --prototypes"}, o.heads);
  visit(OptionInfo{"SwAV", "--temperature", "Temperature of the predictions"}, o.temperature);
  visit(OptionInfo{"SwAV", "--final-temperature", "What it comes to, in a line over the steps (0: it stays)"},
        o.final_temperature);
  visit(OptionInfo{"SwAV", "--epsilon", "Entropic regularisation of the codes"}, o.epsilon);
  visit(OptionInfo{"SwAV", "--final-epsilon", "What it comes to, in a line over the steps (0: it stays)"},
        o.final_epsilon);
  visit(OptionInfo{"SwAV", "--sinkhorn-iterations", "Sinkhorn iterations for the codes; 0: a softmax, which collapses"},
        o.sinkhorn_iterations);
  visit(OptionInfo{"SwAV", "--hard-codes", "Each code all on its largest entry"}, o.hard_codes);
  visit(OptionInfo{"SwAV", "--crops-for-assign", "The views codes are computed from"}, o.crops_for_assign);
  visit(OptionInfo{"SwAV", "--freeze-prototypes", "Steps during which prototypes stay as they are"},
        o.freeze_prototypes);
  visit(
      OptionInfo{"SwAV", "--queue-length",
                 "Earlier embeddings of each such view that help to compute codes once there are so many; 0 for none"},
      o.queue_length);
  visit(OptionInfo{"SwAV", "--queue-start-epoch", "Epochs before the queue starts to fill"}, o.queue_start_epoch);
  visit(OptionInfo{"SwAV", "--momentum-encoder",
                   "Compute codes with an average of the network, of which a step keeps this share (0: without)"},
        o.momentum_encoder);

  visit(OptionInfo{"Training", "--batch-size",
                   "Images that go through the network at a time; of several ranks (mpirun), through all together"},
        o.batch_size);
  visit(OptionInfo{"Training", "--accumulate",
                   "Batches a step, with codes of all together; each goes through the network twice (with swav)"},
        o.accumulate);
  visit(OptionInfo{"Training", "--epochs", "Passes over the images; 0 evaluates the untrained network"}, o.epochs);
  visit(OptionInfo{"Training", "--optimizer", "Optimiser", false, {"sgd", "lars", "adamw"}}, o.optimizer);
  visit(OptionInfo{"Training", "--larc", "Layer-wise adaptive rates (LARC) with sgd"}, o.larc);
  visit(OptionInfo{"Training", "--start-lr", "Learning rate at the start of the warm-up"}, o.start_learning_rate);
  visit(OptionInfo{"Training", "--lr", "Learning rate after the warm-up"}, o.learning_rate);
  visit(OptionInfo{"Training", "--final-lr", "Learning rate at the end of the cosine"}, o.final_learning_rate);
  visit(OptionInfo{"Training", "--warmup-epochs", "Epochs of linear warm-up, fractions allowed"}, o.warmup_epochs);
  visit(OptionInfo{"Training", "--momentum", "Momentum of sgd and lars"}, o.momentum);
  visit(OptionInfo{"Training", "--weight-decay", "Weight decay"}, o.weight_decay);
  visit(OptionInfo{"Training",
                   "--precision",
                   "auto: bfloat16 on a GPU and where the CPU has AVX512-BF16; --resume keeps what it was",
                   false,
                   {"auto", "float32", "bfloat16"}},
        o.precision);
  visit(OptionInfo{"Training", "--seed", "Seed of weights, data order and crops"}, o.seed);

  visit(OptionInfo{"Run", "--device", "What trains: the CPU, or a GPU (a build with CUDA)", true, {"cpu", "cuda"}},
        o.device);
  visit(OptionInfo{"Run",
                   "--decode",
                   "What decodes JPEG files for a GPU: the workers, or the GPU (a build with nvJPEG), whose pixels may "
                   "differ a little",
                   true,
                   {"cpu", "gpu"}},
        o.decode);
  visit(
      OptionInfo{"Run", "--tune",
                 "On a GPU, time cuDNN's algorithms at the start and take the fastest; runs then repeat up to rounding",
                 true},
      o.tune);
  visit(OptionInfo{"Run", "--threads",
                   "Threads, 0 for all, of several ranks an equal share; runs repeat bit for bit at the same number",
                   true},
        o.threads);
  visit(
      OptionInfo{"Run",
                 "--time-budget",
                 "Time of training, 600 or 10m or 1.5h: the steps are planned to fit after the first 100 (0: --epochs)",
                 false,
                 {},
                 true},
      o.time_budget);
  visit(OptionInfo{"Run", "--max-steps", "Stop after so many steps of the schedule (0: all); --resume does not keep it",
                   true},
        o.max_steps);
  visit(OptionInfo{"Run", "--checkpoint-interval", "Steps between checkpoints (0: at the ends of epochs)", true},
        o.checkpoint_interval);
  visit(OptionInfo{"Run", "--evaluate", "k-NN and linear evaluation and the report at the end", true}, o.evaluate);
  visit(OptionInfo{"Run", "--eval-interval", "Epochs between evaluations (0: at the end only)", true}, o.eval_interval);
}

/// Prototypes of each head: one head of --prototypes, unless --heads says otherwise.
[[nodiscard]] std::vector<std::ptrdiff_t> head_prototypes(const TrainOptions& options);

/// ln K, the loss of predictions that tell nothing apart; of several heads, the mean.
[[nodiscard]] double mean_ln_k(const TrainOptions& options);

/// Images a step learns from.
[[nodiscard]] inline int step_images(const TrainOptions& options) { return options.batch_size * options.accumulate; }

/// Throws InvalidInput, which names the flag, for a setting no run can have.
void validate(const TrainOptions& options);
/// The same for one that a run of so many ranks cannot have.
void validate_for_ranks(const TrainOptions& options, int ranks);

/// The settings by flag name without dashes, and the preset.
[[nodiscard]] nlohmann::json to_json(const TrainOptions& options);
/// Sets what `record` names; throws InvalidInput when it lacks a setting that decides what is computed. Others stay as
/// they are: records made before there was such a setting can still be read.
void from_json(const nlohmann::json& record, TrainOptions& options);

/// The name of a flag in records.
[[nodiscard]] inline std::string record_name(const OptionInfo& info) { return info.flag + 2; }

}  // namespace swav::resnet
