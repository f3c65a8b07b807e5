// The command line by CLI11. In: arguments. Out: checked settings.
#include "train/command_line.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <type_traits>

#include "swav/core/error.hpp"
#include "train/checkpoint.hpp"
#include "train/presets.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {
namespace {

std::string preset_help() {
  std::string text = "Settings to start from:";
  for (const Preset& preset : presets()) text += std::string("\n") + preset.name + ": " + preset.summary;
  return text;
}

// CLI11 would take -1 for the largest number.
std::string not_negative(const std::string& text) {
  return text.starts_with('-') ? text + " found, 0 or more wanted" : "";
}

void add_sources(CLI::App& app, TrainOptions& options) {
  app.add_option("--preset", options.preset, preset_help())->group("Run")->capture_default_str()->take_last();
  app.add_option("--output", options.output, "Folder of the run (default: runs/PRESET-seedSEED)")
      ->group("Run")
      ->take_last();
  app.add_flag(
         "--resume", options.resume,
         "Continue the run in --output from its checkpoint; where none was written yet, an error without --preset, "
         "a start from the beginning with it")
      ->group("Run");
  app.add_flag("--dry-run", options.dry_run, "Build the network, take a few steps, tell memory and time, write nothing")
      ->group("Run");
  app.add_flag("--overwrite", options.overwrite, "Replace the run in --output")->group("Run");
}

class AddOption {
 public:
  explicit AddOption(CLI::App& app) : app_(app) {}

  template <class T>
  void operator()(const OptionInfo& info, T& value) const {
    CLI::Option* option = app_.add_option(info.flag, value, info.help)->group(info.group)->capture_default_str();
    if (!info.choices.empty()) option->check(CLI::IsMember(info.choices));
    if (info.is_duration)
      option->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"s", 1}, {"m", 60}, {"h", 3600}},
                                              CLI::AsNumberWithUnit::CASE_SENSITIVE, "TIME"));
    // A later argument overrides an earlier one, so that scripts can append to theirs.
    if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) option->take_last();
    if constexpr (std::is_unsigned_v<T>) option->check(CLI::Validator(not_negative, ""));
  }
  void operator()(const OptionInfo& info, bool& value) const {
    const std::string both = std::string(info.flag) + ",!--no-" + record_name(info);
    app_.add_flag(both, value, info.help)->group(info.group)->capture_default_str();
  }

 private:
  CLI::App& app_;
};

// Throws unless `now` differs from `before` in nothing that decides what is computed.
void require_same_run(const TrainOptions& before, const TrainOptions& now) {
  const nlohmann::json old_record = to_json(before), new_record = to_json(now);
  visit_options(now, [&](const OptionInfo& info, const auto&) {
    const std::string name = record_name(info);
    detail::require(info.run_only || old_record[name] == new_record[name], "--resume: ", info.flag, " ",
                    json_text(new_record[name]), " found, ", json_text(old_record[name]),
                    " wanted, as the run to resume was started with");
  });
}

// A checkpoint holds text alone: where the folder's name was none, it is of no use.
void require_data_folder(const TrainOptions& options, bool from_checkpoint) {
  constexpr const char* replacement = "\xef\xbf\xbd";
  std::error_code error;
  detail::require(!from_checkpoint || options.data_dir.find(replacement) == std::string::npos ||
                      std::filesystem::exists(options.data_dir, error),
                  "--resume: --data-dir ", options.data_dir,
                  " found, as far as the checkpoint could hold a name that is no UTF-8; --data-dir wanted once more");
}

std::string output_folder(const TrainOptions& options) {
  if (!options.output.empty()) return options.output;
  return "runs/" + options.preset + "-seed" + std::to_string(options.seed);
}

}  // namespace

CommandLine parse_command_line(int count, const char* const* arguments) {
  // The first pass finds what the second starts from; it sees the seed, which is part of the default folder's name.
  TrainOptions sources;
  try {
    CLI::App first;
    first.set_help_flag();
    first.allow_extras();
    add_sources(first, sources);
    first.add_option("--seed", sources.seed)->take_last()->check(CLI::Validator(not_negative, ""));
    first.parse(count, arguments);
    TrainOptions base = preset_options(sources.preset);
    base.seed = sources.seed;
    sources.output = output_folder(sources);
    const bool resuming = sources.resume && has_checkpoint(sources.output);
    const bool preset_given = first.count("--preset") > 0;
    if (resuming) {
      base = read_checkpoint_options(sources.output);
      detail::require(!preset_given || sources.preset == base.preset, "--resume: --preset ", sources.preset, " found, ",
                      base.preset, " wanted, as the run to resume was started with");
      // What ended the run early is not to end it again, unless it is asked for again.
      const TrainOptions limits = preset_given ? preset_options(sources.preset) : TrainOptions{};
      base.max_steps = limits.max_steps;
      base.evaluate = limits.evaluate;
    }

    TrainOptions options = base;
    CLI::App app("Trains a ResNet without labels by SwAV (multi-crop, Sinkhorn codes, swapped prediction).",
                 "swav-train");
    app.get_formatter()->column_width(34);
    add_sources(app, options);
    visit_options(options, AddOption(app));
    try {
      app.parse(count, arguments);
    } catch (const CLI::CallForHelp&) {
      return {.options = options, .help = app.help()};
    }
    options.output = sources.output;
    detail::require(!options.resume || !options.overwrite, "--overwrite: found with --resume, one of them wanted");
    detail::require(!options.resume || resuming || preset_given, "--resume: no ", checkpoint_path(options.output),
                    " found; the --output of a run, or a --preset to start one with, wanted");
    require_data_folder(options, resuming && app.count("--data-dir") == 0);
    validate(options);
    if (resuming) require_same_run(base, options);
    return {.options = options};
  } catch (const CLI::ParseError& error) {
    throw InvalidInput(error.what());
  }
}

}  // namespace swav::resnet
