// swav-export: a checkpoint's backbone for other programs. In: a checkpoint, the name of the file to write. Out: the
// file, and what it is on the standard output; on any error one line on the standard error and a status that is not
// zero.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>

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

std::optional<Classifier> choose_classifier(const ExportOptions& options, const StoredNetwork& network) {
  if (options.without_classifier) return std::nullopt;
  const Index features = plan_trunk(network.architecture()).features;
  if (!options.classifier_file.empty()) return read_classifier(options.classifier_file, features);
  if (network.has_classifier()) return stored_classifier(network);
  return zero_classifier(options.classes, features);
}

std::string classifier_text(const ExportOptions& options, const StoredNetwork& network) {
  if (options.without_classifier) return "without fc: set network.fc = torch.nn.Identity() before loading";
  if (!options.classifier_file.empty()) return "fc from " + options.classifier_file;
  if (network.has_classifier()) return "fc as in the checkpoint";
  return "fc of zeros for " + std::to_string(options.classes) +
         " classes, for the checkpoint has none; --fc takes one that `swav-eval linear --save` wrote";
}

void write(const ExportOptions& options) {
  const StoredNetwork network(options.checkpoint);
  detail::require(options.output.ends_with(".safetensors"), "OUTPUT: ", options.output,
                  " found, a name that ends in .safetensors wanted");
  write_torchvision(options.output, network, choose_classifier(options, network));
  const std::string name = "resnet" + std::to_string(network.architecture().depth);
  const std::string difference = difference_from_torchvision(network.architecture());
  std::printf("%s: torchvision's parameter names; %s\n", printable(options.output).c_str(),
              printable(classifier_text(options, network)).c_str());
  if (difference.empty())
    std::printf("torchvision.models.%s() loads it with strict=True\n", name.c_str());
  else
    std::printf("no model of torchvision's loads it: a network like its %s, but of %s\n", name.c_str(),
                difference.c_str());
}

}  // namespace

int main(int count, char** arguments) {
  ExportOptions options;
  CLI::App app("Writes a checkpoint's backbone under torchvision's parameter names.", "swav-export");
  app.add_option("CHECKPOINT", options.checkpoint,
                 "Safetensors file of swav-train, or its run's folder; or one of the SwAV release's layout")
      ->required();
  app.add_option("OUTPUT", options.output, "File to write, NAME.safetensors")->required();
  auto* file = app.add_option("--fc", options.classifier_file, "Take fc from this file of `swav-eval linear --save`");
  auto* classes = app.add_option("--classes", options.classes, "Of the fc of zeros that a checkpoint without gets")
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
