// Subcommands by CLI11. In: arguments. Out: options, bound to the evaluation they are for.
#include "eval/command_line.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "eval/embed.hpp"
#include "eval/finetune.hpp"
#include "eval/frozen.hpp"
#include "eval/session.hpp"
#include "report/comparison.hpp"
#include "swav/core/error.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {
namespace {

const std::vector<std::string> part_names{"training", "test", "unlabeled"};

struct Made {
  EvalCommandLine line;
  std::shared_ptr<SessionOptions> session = std::make_shared<SessionOptions>();

  /// What the command line asks for, where its command is this one: `evaluate` on a session, with options that
  /// `prepare` may have finished.
  template <class Command>
  void on(
      CLI::App& command, std::shared_ptr<Command> options, void (*evaluate)(Session&, const Command&),
      std::function<void()> prepare = [] {}) {
    command.callback([this, options, evaluate, prepare] {
      prepare();
      line.run = [session = session, options, evaluate] {
        Session opened(*session);
        evaluate(opened, *options);
      };
    });
  }
};

void add_session(CLI::App& app, SessionOptions& o) {
  app.add_option("CHECKPOINT", o.checkpoint,
                 "Run's folder, or a safetensors file of swav-train, torchvision or the SwAV release")
      ->required();
  app.add_option("--data", o.data, "Data set (default: that of the checkpoint's run)")
      ->check(CLI::IsMember({"fashion-mnist", "cifar10", "stl10", "imagefolder"}))
      ->group("Data");
  app.add_option("--data-dir", o.data_dir, "Folder with its files")->group("Data");
  app.add_option("--size", o.size,
                 "Side in pixels of images that differ in size (default: the run's large crops', 224)")
      ->group("Data");
  app.add_option("--max-bad-share", o.max_bad_share, "Share of images that may be unreadable")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->group("Data");
  app.add_option("--device", o.device, "What the network computes on: the CPU, or a GPU (a build with CUDA)")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str()
      ->group("Run");
  app.add_option("--precision", o.precision, "auto: bfloat16 on a GPU and where the CPU has AVX512-BF16")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->capture_default_str()
      ->group("Run");
  app.add_option("--threads", o.threads, "Threads, 0 for all")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024))
      ->group("Run");
  app.add_option("--json", o.json, "Append the results to this file, a JSON line each")->group("Run");
}

CLI::App& add_command(CLI::App& app, const char* name, const char* help, Made& made) {
  CLI::App& command = *app.add_subcommand(name, help);
  command.get_formatter()->column_width(34);
  add_session(command, *made.session);
  return command;
}

void add_knn(CLI::App& app, Made& made) {
  auto o = std::make_shared<KnnCommand>();
  CLI::App& command = add_command(app, "knn", "Weighted k-NN accuracy of frozen features", made);
  command.add_option("--neighbors", o->neighbors, "Neighbours that vote, one number or several")->capture_default_str();
  command.add_option("--temperature", o->temperature, "A vote weighs exp(cosine / temperature)")->capture_default_str();
  made.on(command, o, run_knn);
}

void add_linear(CLI::App& app, Made& made) {
  auto o = std::make_shared<LinearCommand>();
  auto solver = std::make_shared<std::string>("lbfgs");
  CLI::App& command = add_command(app, "linear", "Accuracy of a linear classifier on frozen features", made);
  LinearProbeOptions& probe = o->probe;
  command.add_option("--solver", *solver, "lbfgs: to the optimum; sgd: as the SwAV release")
      ->check(CLI::IsMember({"lbfgs", "sgd"}))
      ->capture_default_str();
  command
      .add_flag("--standardize,!--no-standardize", probe.standardize,
                "Features to mean 0, deviation 1 (the release does not)")
      ->capture_default_str();
  command.add_option("--max-iterations", probe.lbfgs.max_iterations, "Of lbfgs")->capture_default_str();
  CLI::Option* decay = command.add_option("--weight-decay", probe.lbfgs.weight_decay,
                                          "Penalty on the weights (default: 1e-4 for lbfgs, 1e-6 for sgd)");
  command.add_option("--epochs", probe.sgd.epochs, "Of sgd")->capture_default_str();
  command.add_option("--batch-size", probe.sgd.batch_size, "Of sgd")->capture_default_str();
  command.add_option("--lr", probe.sgd.learning_rate, "Of sgd")->capture_default_str();
  command.add_option("--seed", probe.seed, "Of sgd's start and order")->capture_default_str();
  command.add_option("--save", o->save, "Safetensors file for the layer, which swav-export --fc takes");
  made.on(command, o, run_linear, [o, solver, decay] {
    if (*solver == "sgd") o->probe.solver = ProbeSolver::sgd;
    if (decay->count() > 0) o->probe.sgd.weight_decay = o->probe.lbfgs.weight_decay;
  });
}

void add_cluster(CLI::App& app, Made& made) {
  auto o = std::make_shared<ClusterCommand>();
  CLI::App& command = add_command(
      app, "cluster", "Agreement of clusters (k-means; prototypes) with classes: NMI, ARI, accuracy, purity", made);
  command.add_option("--part", o->part, "Images to cluster")->check(CLI::IsMember(part_names))->capture_default_str();
  command.add_option("--clusters", o->clusters, "Of k-means (0: as many as there are classes)")->capture_default_str();
  command.add_option("--seed", o->seed, "Of k-means")->capture_default_str();
  made.on(command, o, run_cluster);
}

void add_embed(CLI::App& app, Made& made) {
  auto o = std::make_shared<EmbedCommand>();
  CLI::App& command = add_command(app, "embed", "Writes features to a file", made);
  command.add_option("OUTPUT", o->output, "NAME.safetensors, or NAME.npy (labels go to NAME.labels.npy)")->required();
  command.add_option("--part", o->part, "Images to embed")->check(CLI::IsMember(part_names))->capture_default_str();
  command.add_flag("--projection", o->projection, "The projection head's unit outputs, not the backbone's features");
  made.on(command, o, run_embed);
}

void add_finetune(CLI::App& app, Made& made) {
  auto o = std::make_shared<FinetuneCommand>();
  CLI::App& command =
      add_command(app, "finetune", "Accuracy of the whole network trained with a share of the labels", made);
  command.add_option("--labels", o->shares, "Share of each class's labels, one number or several")
      ->capture_default_str();
  command.add_flag("--from-scratch", o->from_scratch, "Start from random weights, for comparison");
  command.add_option("--epochs", o->epochs, "Passes over the images with labels")->capture_default_str();
  command.add_option("--min-steps", o->min_steps, "More passes where these are fewer steps")->capture_default_str();
  command.add_option("--batch-size", o->batch_size, "Images a step")->capture_default_str();
  command.add_option("--lr", o->learning_rate, "Learning rate of the backbone")->capture_default_str();
  command.add_option("--head-lr", o->head_learning_rate, "Learning rate of the linear layer")->capture_default_str();
  command.add_option("--weight-decay", o->weight_decay, "Weight decay")->capture_default_str();
  command.add_option("--head-steps", o->head_steps, "First steps, in which the linear layer learns alone")
      ->capture_default_str();
  command.add_option("--scale", o->scale, "Range of the crops' share of the area")->capture_default_str();
  command.add_option("--flip", o->flip, "Probability of a horizontal flip")->capture_default_str();
  command.add_option("--seed", o->seed, "Of the choice of labels, order, crops and random weights")
      ->capture_default_str();
  command.add_option("--save", o->save, "Safetensors file for the last network, which swav-export takes");
  made.on(command, o, run_finetune);
}

void add_compare(CLI::App& app, Made& made) {
  struct Compare {
    std::vector<std::string> runs, results;
    std::string output = "compare.html";
  };
  auto o = std::make_shared<Compare>();
  CLI::App& command = *app.add_subcommand("compare", "Several runs on one page, with curves of finetune's results");
  command.get_formatter()->column_width(34);
  command.add_option("RUN", o->runs, "Runs' folders")->required();
  command.add_option("--results", o->results, "Files that --json of finetune made");
  command.add_option("--output", o->output, "The page, an HTML file")->capture_default_str();
  command.callback([o, &made] {
    made.line.run = [o] {
      write_comparison(o->output, o->runs, o->results);
      std::printf("comparison: %s\n", printable(o->output).c_str());
    };
  });
}

}  // namespace

EvalCommandLine parse_eval_command_line(int count, const char* const* arguments) {
  Made made;
  CLI::App app("What a checkpoint's features are worth on a data set.", "swav-eval");
  app.require_subcommand(1);
  add_knn(app, made);
  add_linear(app, made);
  add_cluster(app, made);
  add_embed(app, made);
  add_finetune(app, made);
  add_compare(app, made);
  try {
    app.parse(count, arguments);
  } catch (const CLI::CallForHelp&) {
    made.line.help = app.help();
  } catch (const CLI::ParseError& error) {
    throw InvalidInput(error.what());
  }
  return std::move(made.line);
}

}  // namespace swav::resnet
