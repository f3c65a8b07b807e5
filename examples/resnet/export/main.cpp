// swav-export: a checkpoint's backbone for other programs. In: a checkpoint, the name of the file to write. Out: the
// file, and what it is on the standard output; on any error one line on the standard error and a status that is not
// zero.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "export/onnx.hpp"
#include "export/torchvision.hpp"
#include "swav/core/error.hpp"
#include "train/safe_text.hpp"

namespace {

using namespace swav;
using namespace swav::resnet;

struct ExportOptions {
  std::string checkpoint, output, classifier_file;
  Index classes = 1000;
  bool without_classifier = false;
};

/// fc as the options or the checkpoint have it, and where it comes from.
std::pair<std::optional<Classifier>, std::string> choose_classifier(const ExportOptions& options,
                                                                    const StoredNetwork& network) {
  if (options.without_classifier) return {std::nullopt, "no fc"};
  const Index features = plan_trunk(network.architecture()).features;
  if (!options.classifier_file.empty())
    return {read_classifier(options.classifier_file, features), "fc from " + options.classifier_file};
  if (network.has_classifier()) return {stored_classifier(network), "fc as in the checkpoint"};
  return {std::nullopt, "the checkpoint has no fc; --fc takes one that `swav-eval linear --save` wrote"};
}

void write_for_torchvision(const ExportOptions& options, const StoredNetwork& network) {
  auto [classifier, origin] = choose_classifier(options, network);
  if (!classifier && !options.without_classifier) {
    classifier = zero_classifier(options.classes, plan_trunk(network.architecture()).features);
    origin = "fc of zeros for " + std::to_string(options.classes) + " classes (" + origin + ")";
  }
  write_torchvision(options.output, network, classifier);
  std::printf("%s: torchvision's parameter names; %s\n", printable(options.output).c_str(), printable(origin).c_str());
  const std::string name = "resnet" + std::to_string(network.architecture().depth);
  const std::string difference = difference_from_torchvision(network.architecture());
  if (!difference.empty())
    std::printf("no model of torchvision's loads it: a network like its %s, but of %s\n", name.c_str(),
                difference.c_str());
  else if (classifier)
    std::printf("torchvision.models.%s(num_classes=%td) loads it with strict=True\n", name.c_str(),
                classifier->classes);
  else
    std::printf("torchvision.models.%s() loads it with strict=True once its fc is torch.nn.Identity()\n", name.c_str());
}

void write(const ExportOptions& options) {
  const StoredNetwork network(options.checkpoint);
  if (options.output.ends_with(".safetensors")) return write_for_torchvision(options, network);
  detail::require(options.output.ends_with(".onnx"), "OUTPUT: ", options.output,
                  " found, a name that ends in .safetensors or .onnx wanted");
  const auto [classifier, origin] = choose_classifier(options, network);
  write_onnx(options.output, network, classifier);
  std::printf("%s: input images, batch x %d x height x width; output features%s; %s\n",
              printable(options.output).c_str(), network.architecture().channels, classifier ? " and scores" : "",
              printable(origin).c_str());
}

}  // namespace

int main(int count, char** arguments) {
  ExportOptions options;
  CLI::App app("Writes a checkpoint's backbone for other programs: under torchvision's names, or as ONNX.",
               "swav-export");
  app.add_option("CHECKPOINT", options.checkpoint,
                 "Safetensors file of swav-train, or its run's folder; or one of the SwAV release's layout")
      ->required();
  app.add_option("OUTPUT", options.output, "File to write: NAME.safetensors, as torchvision has it, or NAME.onnx")
      ->required();
  auto* file = app.add_option("--fc", options.classifier_file, "Take fc from this file of `swav-eval linear --save`");
  auto* classes =
      app.add_option("--classes", options.classes, "Of the fc of zeros that NAME.safetensors gets where there is none")
          ->capture_default_str();
  app.add_flag("--no-fc", options.without_classifier, "Leave fc out")->excludes(file)->excludes(classes);
  try {
    app.parse(count, arguments);
    write(options);
    return 0;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "swav-export: error: %s\n", printable(error.what()).c_str());
  }
  return 1;
}
