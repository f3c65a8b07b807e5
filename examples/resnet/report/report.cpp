// The report's page. In: ReportInput. Out: HTML with style, charts and pictures inside.
#include "report/report.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>

#include "report/charts.hpp"
#include "report/gallery.hpp"
#include "report/page.hpp"
#include "report/prototypes.hpp"
#include "swav/io/atomic_file.hpp"
#include "train/progress.hpp"

namespace swav::resnet {
namespace {

std::string tile(const std::string& value, const std::string& label) {
  return "<div class=\"tile\"><b>" + escape_html(value) + "</b><span>" + escape_html(label) + "</span></div>\n";
}

template <class Value>
std::vector<Point> points_of(const MetricsHistory& history, Index steps_per_epoch, Value&& value) {
  std::vector<Point> points;
  for (const StepRecord& r : history.steps)
    points.push_back({static_cast<double>(r.step) / static_cast<double>(steps_per_epoch), value(r)});
  return points;
}

std::string accuracy_body(const MetricsHistory& history, Index steps_per_epoch) {
  if (history.evaluations.size() < 2) {
    const EvaluationRecord& last = history.evaluations.back();
    std::string html = "<div class=\"bars\">";
    for (const auto& [label, value] : {std::pair<const char*, double>{"k-NN", last.knn_accuracy},
                                       std::pair<const char*, double>{"linear", last.linear_accuracy}})
      html += std::string("<span>") + label +
              "</span><div class=\"track\"><i style=\"width:" + short_number(100 * value) + "%\"></i></div><b>" +
              percent_text(value) + "</b>";
    return html + "</div>\n";
  }
  std::vector<Point> knn, linear;
  for (const EvaluationRecord& r : history.evaluations) {
    const double epoch = static_cast<double>(r.step) / static_cast<double>(steps_per_epoch);
    knn.push_back({epoch, 100 * r.knn_accuracy});
    linear.push_back({epoch, 100 * r.linear_accuracy});
  }
  return line_chart({.title = "Accuracy by epoch",
                     .x_label = "epoch (accuracy in %)",
                     .series = {{"k-NN", "a", knn, true}, {"linear", "b", linear, true}}});
}

std::string usage_body(Index images, const std::vector<PrototypeUse>& uses) {
  std::vector<PrototypeUse> ranked = uses;
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const PrototypeUse& a, const PrototypeUse& b) { return a.images > b.images; });
  BarChart chart{.title = "Images of each prototype", .x_label = "prototypes, from the most to the least used"};
  for (const PrototypeUse& use : ranked) {
    chart.bars.push_back(static_cast<double>(use.images));
    chart.tooltips.push_back("prototype " + std::to_string(use.prototype) + ": " + std::to_string(use.images) +
                             " images");
  }
  chart.references.push_back({static_cast<double>(images) / static_cast<double>(uses.size()), "even share"});
  return bar_chart(chart);
}

std::string settings_body(const TrainOptions& options) {
  std::string html = "<details><summary>All settings</summary><table>";
  const nlohmann::json record = to_json(options);
  for (const auto& [name, value] : record.items())
    html += "<tr><td>" + escape_html(name) + "</td><td><code>" +
            escape_html(value.is_string() ? value.get<std::string>() : value.dump()) + "</code></td></tr>";
  return html + "</table></details>\n";
}

std::string charts(const ReportInput& in) {
  const Index per_epoch = in.learner.steps_per_epoch();
  const double ln_k = mean_ln_k(in.options);
  const MetricsHistory& history = in.history;
  std::string html = report_section(
      "Loss", "The swapped prediction loss; at ln K the network tells nothing apart.",
      line_chart({.title = "Loss by epoch",
                  .x_label = "epoch",
                  .series = {{"loss", "a", points_of(history, per_epoch, [](const StepRecord& r) { return r.loss; })}},
                  .references = {{ln_k, "ln K = " + short_number(ln_k)}}}));
  if (!history.evaluations.empty())
    html += report_section(
        "Accuracy",
        "Of the frozen network: " +
            evaluation_protocol(in.data, evaluation_size(in.data, in.options), image_counts(in.features)) + ".",
        accuracy_body(history, per_epoch));
  html += report_section(
      "Prototypes used", "Distinct prototypes among the codes of one batch.",
      line_chart({.title = "Prototypes used by epoch",
                  .x_label = "epoch",
                  .series = {{"used", "a",
                              points_of(history, per_epoch,
                                        [](const StepRecord& r) { return static_cast<double>(r.prototypes_used); })}},
                  .from_zero = true,
                  .height = 170}));
  html += report_section(
      "Spread of the embeddings", "1: they fill the sphere; 0: all images map to one point.",
      line_chart({.title = "Spread by epoch",
                  .x_label = "epoch",
                  .series = {{"spread", "a",
                              points_of(history, per_epoch, [](const StepRecord& r) { return r.feature_spread; })}},
                  .from_zero = true,
                  .height = 170}));
  html +=
      report_section("Waiting for data", "The share of a step's time until its batch of crops was there.",
                     line_chart({.title = "Waiting for data by epoch",
                                 .x_label = "epoch (share in %)",
                                 .series = {{"waiting", "a",
                                             points_of(history, per_epoch,
                                                       [](const StepRecord& r) {
                                                         return r.seconds > 0 ? 100 * r.data_seconds / r.seconds : 0.0;
                                                       })}},
                                 .from_zero = true,
                                 .height = 170}));
  return html;
}

std::string tiles(const ReportInput& in, Index used) {
  std::string html = "<div class=\"tiles\">\n";
  if (!in.history.evaluations.empty()) {
    const EvaluationRecord& last = in.history.evaluations.back();
    html += tile(percent_text(last.knn_accuracy), "k-NN accuracy") +
            tile(percent_text(last.linear_accuracy), "linear accuracy");
  }
  html +=
      tile(duration_text(in.training_seconds), "training") + tile(duration_text(in.evaluation_seconds), "evaluation");
  const std::vector<StepRecord>& steps = in.history.steps;
  if (!steps.empty()) {
    double waiting = 0, all = 0;
    for (const StepRecord& r : steps) {
      waiting += r.data_seconds;
      all += r.seconds;
    }
    html += tile(short_number(std::round(steps.back().images_per_second)), "images a second") +
            tile(percent_text(all > 0 ? waiting / all : 0.0), "waiting for data");
  }
  html += tile(std::to_string(used) + " of " + std::to_string(head_prototypes(in.options)[0]), "prototypes used");
  return html + "</div>\n";
}

// Heads are each other's alternatives: one is shown.
std::string page(const ReportInput& in) {
  const RowMatrix<float> embeddings = project(in.learner.network(), in.features.training.rows);
  constexpr Index nearest = 10;
  constexpr int shown = 14;
  const std::vector<PrototypeUse> uses =
      prototype_use(embeddings, in.learner.prototypes(), in.features.training.labels, nearest);
  const Index used = std::count_if(uses.begin(), uses.end(), [](const PrototypeUse& use) { return use.images > 0; });

  const std::string title = "SwAV on " + in.data.name;
  std::string html = report_head(title);
  html += "<h1>" + escape_html(title) + "</h1>\n<p class=\"lead\">" + std::to_string(in.data.pretraining().count()) +
          " images, learned without labels in " + std::to_string(in.learner.steps_done()) + " steps of " +
          std::to_string(step_images(in.options)) + " images, preset " + escape_html(in.options.preset) + ", seed " +
          std::to_string(in.options.seed) + ". " + escape_html(in.learner.network().describe()) + "</p>\n";
  html += tiles(in, used);
  for (const WarningRecord& warning : in.history.warnings)
    html += "<p class=\"warning\">Epoch " + std::to_string(warning.epoch) + ": " + escape_html(warning.text) + "</p>\n";
  html += "<div class=\"columns\">\n" + charts(in);
  html += report_section("Images of each prototype", "Training images by their nearest prototype after training.",
                         usage_body(embeddings.rows(), uses), true);
  html += report_section("Crops", "Some images and the views that training drew from them in its first epoch.",
                         crop_gallery(in.data, in.learner.crops(), in.options), true);
  html +=
      report_section("Prototypes",
                     std::string("The training images nearest to some prototypes, from the most used to the least") +
                         (in.features.training.labels.empty()
                              ? "."
                              : ", and the class most of a prototype's images have. Training never saw a class."),
                     prototype_gallery(in.data, in.features.training.images, uses, shown), true);
  html += report_section("Settings", "As swav-train takes them.", settings_body(in.options), true);
  return html + "</div>\n</main></body></html>\n";
}

}  // namespace

void write_report(const std::string& path, const ReportInput& input) {
  const std::string html = page(input);
  const std::array<std::span<const std::byte>, 1> parts{std::as_bytes(std::span(html))};
  write_file_atomically(path, parts);
}

}  // namespace swav::resnet
