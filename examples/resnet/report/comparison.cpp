// The page that compares runs. In: checkpoints' settings, metrics.jsonl, JSON lines. Out: a table and charts.
#include "report/comparison.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "report/charts.hpp"
#include "report/page.hpp"
#include "swav/core/error.hpp"
#include "swav/io/atomic_file.hpp"
#include "swav/io/file_error.hpp"
#include "train/checkpoint.hpp"
#include "train/metrics.hpp"
#include "train/progress.hpp"

namespace swav::resnet {
namespace {

using Json = nlohmann::json;

struct ComparedRun {
  std::string folder, name;
  TrainOptions options;
  Index prototypes = 0;  // of the first head
  MetricsHistory history;

  /// The mean over the last hundred steps.
  template <class Value>
  [[nodiscard]] double at_end(Value&& value) const {
    const std::vector<StepRecord>& steps = history.steps;
    const std::size_t count = std::min<std::size_t>(100, steps.size());
    double sum = 0;
    for (std::size_t i = steps.size() - count; i < steps.size(); ++i) sum += value(steps[i]);
    return count > 0 ? sum / static_cast<double>(count) : 0.0;
  }
};

std::string css_class(std::size_t index) { return std::string(1, static_cast<char>('a' + index)); }

std::vector<ComparedRun> read_runs(const std::vector<std::string>& folders) {
  std::vector<ComparedRun> runs;
  for (const std::string& folder : folders) {
    const std::filesystem::path path(folder);
    const std::filesystem::path name = path.has_filename() ? path.filename() : path.parent_path().filename();
    runs.push_back({.folder = folder,
                    .name = name.string(),
                    .options = read_checkpoint_options(path),
                    .history = read_metrics(path / "metrics.jsonl")});
  }
  for (ComparedRun& run : runs) run.prototypes = head_prototypes(run.options)[0];
  for (ComparedRun& run : runs)
    if (std::ranges::count(runs, run.name, &ComparedRun::name) > 1) run.name = run.folder;
  return runs;
}

/// The flags in which the runs differ, of those that decide what is computed; each run's as swav-train takes them.
std::vector<std::string> differences(const std::vector<ComparedRun>& runs) {
  std::vector<std::string> texts(runs.size());
  std::vector<Json> records;
  for (const ComparedRun& run : runs) records.push_back(to_json(run.options));
  visit_options(runs[0].options, [&](const OptionInfo& info, const auto&) {
    if (info.run_only) return;
    const std::string name = record_name(info);
    std::vector<std::string> values;
    for (const Json& record : records) values.push_back(record.at(name).dump());
    if (std::ranges::count(values, values[0]) == std::ssize(values)) return;
    for (std::size_t r = 0; r < runs.size(); ++r) {
      if (!texts[r].empty()) texts[r] += ' ';
      texts[r] += std::string(info.flag) + " " + values[r];
    }
  });
  return texts;
}

std::string table(const std::vector<ComparedRun>& runs) {
  std::string html =
      "<table class=\"compared\"><tr><th></th><th>run</th><th>k-NN</th><th>linear</th><th>loss / ln "
      "K</th><th>prototypes used</th>"
      "<th>training</th><th>settings that differ</th></tr>\n";
  const std::vector<std::string> settings = differences(runs);
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const ComparedRun& run = runs[r];
    const std::vector<EvaluationRecord>& evaluations = run.history.evaluations;
    const auto accuracy = [&](double EvaluationRecord::*value) {
      return evaluations.empty() ? std::string("-") : percent_text(evaluations.back().*value);
    };
    html += "<tr><td><i class=\"swatch " + css_class(r) + "\"></i></td><td>" + escape_html(run.name) + "</td><td>" +
            accuracy(&EvaluationRecord::knn_accuracy) + "</td><td>" + accuracy(&EvaluationRecord::linear_accuracy) +
            "</td><td>" + short_number(run.at_end([](const StepRecord& s) { return s.loss_over_ln_k; })) + "</td><td>" +
            short_number(run.at_end([](const StepRecord& s) { return static_cast<double>(s.prototypes_used); })) +
            " of " + std::to_string(run.prototypes) + "</td><td>" +
            (evaluations.empty() ? "-" : duration_text(evaluations.back().training_seconds)) + "</td><td><code>" +
            escape_html(settings[r]) + "</code></td></tr>\n";
  }
  return html + "</table>\n";
}

template <class Value>
std::string step_chart(const std::string& title, const std::vector<ComparedRun>& runs, bool from_zero, Value&& value) {
  LineChart chart{.title = title, .x_label = "thousand images", .series = {}, .from_zero = from_zero};
  for (std::size_t r = 0; r < runs.size(); ++r) {
    Series series{.label = runs[r].name, .css_class = css_class(r), .points = {}};
    for (const StepRecord& s : runs[r].history.steps)
      series.points.push_back({1e-3 * static_cast<double>(s.step * step_images(runs[r].options)), value(runs[r], s)});
    chart.series.push_back(std::move(series));
  }
  return line_chart(chart);
}

std::string accuracy_chart(const std::string& title, const std::vector<ComparedRun>& runs,
                           double EvaluationRecord::*value) {
  LineChart chart{.title = title, .x_label = "thousand images (accuracy in %)", .series = {}};
  for (std::size_t r = 0; r < runs.size(); ++r) {
    Series series{.label = runs[r].name, .css_class = css_class(r), .points = {}, .markers = true};
    for (const EvaluationRecord& e : runs[r].history.evaluations)
      series.points.push_back({1e-3 * static_cast<double>(e.step * step_images(runs[r].options)), 100 * (e.*value)});
    chart.series.push_back(std::move(series));
  }
  return line_chart(chart);
}

/// A curve: accuracies, of several seeds, by share of the labels.
using Curve = std::map<double, std::vector<double>>;

std::map<std::string, Curve> read_curves(const std::vector<std::string>& files) {
  std::map<std::string, Curve> curves;
  for (const std::string& path : files) {
    std::ifstream file(path);
    if (!file) throw FileError(path, "cannot be opened for reading");
    int number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      try {
        const Json record = Json::parse(line);
        if (record.at("command") != "finetune") continue;
        const std::filesystem::path checkpoint(record.at("checkpoint").get<std::string>());
        const std::string name =
            checkpoint.parent_path().empty() ? checkpoint.string() : checkpoint.parent_path().filename().string();
        const bool scratch = record.at("from_scratch");
        curves[name + (scratch ? ", from scratch" : "")][record.at("labels")].push_back(record.at("accuracy"));
      } catch (const Json::exception&) {
        throw FileError(path, "line " + std::to_string(number) + " is no result of swav-eval");
      }
    }
  }
  return curves;
}

std::string curve_section(const std::map<std::string, Curve>& curves) {
  detail::require(curves.size() <= most_compared, "--results: ", curves.size(), " curves of finetune found, at most ",
                  most_compared, " wanted");
  LineChart chart{.title = "Accuracy by share of the labels", .x_label = "labels (accuracy in %)", .series = {}};
  chart.log_x = true;
  std::string html = "<table class=\"compared\"><tr><th></th><th>from</th>";
  std::map<double, int> shares;
  for (const auto& [name, curve] : curves)
    for (const auto& [share, accuracies] : curve) ++shares[share];
  for (const auto& [share, count] : shares) html += "<th>" + short_number(100 * share) + " %</th>";
  html += "</tr>\n";
  for (const auto& [name, curve] : curves) {
    Series series{.label = name, .css_class = css_class(chart.series.size()), .points = {}, .markers = true};
    html += "<tr><td><i class=\"swatch " + series.css_class + "\"></i></td><td>" + escape_html(name) + "</td>";
    for (const auto& [share, count] : shares) {
      const auto found = curve.find(share);
      if (found == curve.end()) {
        html += "<td>-</td>";
        continue;
      }
      double sum = 0;
      for (const double accuracy : found->second) sum += accuracy;
      const double mean = sum / static_cast<double>(found->second.size());
      series.points.push_back({std::log10(100 * share), 100 * mean});
      html += "<td>" + percent_text(mean) + "</td>";
    }
    html += "</tr>\n";
    chart.series.push_back(std::move(series));
  }
  return report_section("Labels saved",
                        "Test accuracy of the whole network trained with a share of the labels, in %, from each run's "
                        "weights and from random ones (swav-eval finetune); the mean over seeds.",
                        line_chart(chart) + html + "</table>\n");
}

std::string page(const std::vector<ComparedRun>& runs, const std::vector<std::string>& results) {
  std::string html = report_head("Runs compared");
  html += "<h1>Runs compared</h1>\n<p class=\"lead below\">" + std::to_string(runs.size()) +
          (runs.size() == 1 ? " run" : " runs") +
          " of swav-train; at the end: means over the last 100 steps</p>\n<div class=\"columns\">\n";
  html += report_section("Results", "Accuracies of the frozen network, by the protocol in each run's report.",
                         table(runs), true);
  // One evaluation, at the end, is in the table.
  if (std::ranges::any_of(runs, [](const ComparedRun& r) { return r.history.evaluations.size() > 1; })) {
    html += report_section("k-NN accuracy", "Of the frozen network.",
                           accuracy_chart("k-NN accuracy by images", runs, &EvaluationRecord::knn_accuracy));
    html += report_section("Linear accuracy", "Of a linear classifier on the frozen network.",
                           accuracy_chart("Linear accuracy by images", runs, &EvaluationRecord::linear_accuracy));
  }
  html += report_section("Loss", "As a share of ln K, that of a network that tells nothing apart.",
                         step_chart("Loss by images", runs, false,
                                    [](const ComparedRun&, const StepRecord& s) { return s.loss_over_ln_k; }));
  html += report_section(
      "Prototypes used", "Share of the prototypes that a batch's codes choose, in %.",
      step_chart("Prototypes used by images", runs, true, [](const ComparedRun& run, const StepRecord& s) {
        return 100 * static_cast<double>(s.prototypes_used) / static_cast<double>(run.prototypes);
      }));
  html += report_section("Spread of the embeddings", "1: they fill the sphere; 0: all images map to one point.",
                         step_chart("Spread by images", runs, true,
                                    [](const ComparedRun&, const StepRecord& s) { return s.feature_spread; }));
  html += report_section("Speed", "Images a second.",
                         step_chart("Images a second by images", runs, true,
                                    [](const ComparedRun&, const StepRecord& s) { return s.images_per_second; }));
  const std::map<std::string, Curve> curves = read_curves(results);
  if (!curves.empty()) html += curve_section(curves);
  return html + "</div>\n</main></body></html>\n";
}

}  // namespace

void write_comparison(const std::string& path, const std::vector<std::string>& runs,
                      const std::vector<std::string>& results) {
  detail::require(!runs.empty() && runs.size() <= most_compared, "compare: ", runs.size(), " runs found, 1 to ",
                  most_compared, " wanted");
  const std::string html = page(read_runs(runs), results);
  const std::array<std::span<const std::byte>, 1> parts{std::as_bytes(std::span(html))};
  write_file_atomically(path, parts);
}

}  // namespace swav::resnet
