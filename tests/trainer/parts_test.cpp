// The trainer's small parts: data order, metrics file, collapse monitor, prototype statistics, pictures and charts.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "report/charts.hpp"
#include "report/png.hpp"
#include "report/prototypes.hpp"
#include "support.hpp"
#include "swav/io/file_error.hpp"
#include "train/collapse.hpp"
#include "train/data_order.hpp"
#include "train/metrics.hpp"
#include "train/progress.hpp"
#include "train/safe_text.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("an epoch visits every image once, each epoch and seed in an order of its own") {
  std::vector<Index> a(1000), b(1000), c(1000), again(1000);
  epoch_order(1, 0, a);
  epoch_order(1, 1, b);
  epoch_order(2, 0, c);
  epoch_order(1, 0, again);
  CHECK(a == again);
  CHECK(a != b);
  CHECK(a != c);
  std::sort(a.begin(), a.end());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i] == static_cast<Index>(i));
}

TEST_CASE("metrics: what is written is read back, and a resumed log forgets what came after the checkpoint") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "metrics.jsonl";
  {
    MetricsLog log(path, 0);
    log.write(WarningRecord{0, 1, "say \"this\""});
    log.write(WarningRecord{0, 1, "caf\xe9.jpg"});
    for (Index step = 1; step <= 5; ++step)
      log.write(StepRecord{.step = step, .epoch = 1, .loss = 1.0 / static_cast<double>(step), .prototypes_used = 3});
    log.write(EvaluationRecord{.step = 5, .epoch = 1, .knn_accuracy = 0.75, .linear_accuracy = 0.5});
  }
  std::ofstream(path, std::ios::app) << "{\"step\":6,\"epo";  // a line that a kill cut off
  const MetricsHistory all = read_metrics(path);
  CHECK(all.steps.size() == 5);
  CHECK(all.steps[2].loss == doctest::Approx(1.0 / 3).epsilon(1e-8));
  CHECK(all.warnings.at(0).text == "say \"this\"");
  CHECK(all.warnings.at(1).text == "caf\xef\xbf\xbd.jpg");  // a name's byte that is no UTF-8
  CHECK(all.evaluations.at(0).knn_accuracy == 0.75);

  { MetricsLog log(path, 5); }
  CHECK(read_metrics(path).steps.size() == 5);
  CHECK(read_metrics(path).evaluations.empty());  // the step's evaluation comes after its checkpoint
  { MetricsLog log(path, 3); }
  CHECK(read_metrics(path).steps.size() == 3);
  { MetricsLog log(path, 0); }
  CHECK(read_metrics(path).steps.empty());

  write_bytes(path, {'h', 'i', '\n'});
  CHECK_THROWS_AS((void)read_metrics(path), FileError);
  CHECK_THROWS_AS(MetricsLog(path, 1), FileError);
  CHECK_THROWS_AS(MetricsLog(folder / "no/such/folder", 0), FileError);
}

TEST_CASE("a collapse is told within the first epoch, with what to change; a healthy run is left alone") {
  TrainOptions options = preset_options("fashion-mnist-quick");
  const Index per_epoch = 400;
  const auto warnings_between = [&](const StepRecord& each, Index steps_per_epoch, Index first, Index last) {
    CollapseMonitor monitor(options, steps_per_epoch);
    std::vector<std::string> all;
    for (Index step = first; step <= last; ++step) {
      StepRecord record = each;
      record.step = step;
      for (const std::string& warning : monitor.add(record)) all.push_back(warning);
    }
    return all;
  };
  const auto warnings = [&](const StepRecord& each) { return warnings_between(each, per_epoch, 1, per_epoch); };
  const StepRecord healthy{.loss_over_ln_k = 0.8, .prototypes_used = 120, .feature_spread = 0.8};
  CHECK(warnings(healthy).empty());

  StepRecord stuck = healthy;
  stuck.loss_over_ln_k = 0.999;
  REQUIRE(warnings(stuck).size() == 2);  // in the middle of the epoch and at its end
  CHECK(has(warnings(stuck)[0], "--epsilon 0.03"));
  StepRecord few = healthy;
  few.prototypes_used = 4;
  CHECK(has(warnings(few).at(0), "few prototypes"));
  StepRecord narrow = healthy;
  narrow.feature_spread = 0.01;
  CHECK(has(warnings(narrow).at(0), "no spread"));

  StepRecord wrong = healthy;
  wrong.loss_over_ln_k = 1.3;
  CHECK(has(warnings(wrong).at(0), "above ln K"));

  // Epochs of one step: a look each 50 steps, the first after the frozen ones and 100 more.
  CHECK(warnings_between(stuck, 1, 1, options.freeze_prototypes + 200).size() == 3);
  // Frozen over the whole epoch.
  options.freeze_prototypes = 390;
  CHECK(warnings(stuck).empty());
  options.freeze_prototypes = 50;
  // Resumed ten steps before the epoch's end.
  CHECK(warnings_between(stuck, per_epoch, per_epoch - 10, per_epoch).empty());

  options.batch_size = options.prototypes - 1;
  CHECK(has(doubtful_settings(options).at(0), "--batch-size"));
  options.heads = {options.prototypes + 1, 2};
  CHECK(has(doubtful_settings(options).at(0), "101 prototypes"));
  options.accumulate = 2;
  CHECK(doubtful_settings(options).empty());
  options.accumulate = 1;
  options.queue_length = 2;
  CHECK(doubtful_settings(options).empty());
  options.heads.clear();
  options.queue_length = 0;
  options.batch_size = options.prototypes;
  CHECK(doubtful_settings(options).empty());
}

TEST_CASE("prototype use: counts, classes and nearest images") {
  // Four images on two axes, three prototypes, the last of which nothing is near to.
  const RowMatrix<float> embeddings =
      (RowMatrix<float>(4, 2) << 1.0f, 0.0f, 0.8f, 0.6f, 0.0f, 1.0f, 0.96f, 0.28f).finished();
  const RowMatrix<float> prototypes = (RowMatrix<float>(3, 2) << 1.0f, 0.0f, 0.0f, 1.0f, -1.0f, 0.0f).finished();
  const std::vector<int> labels{5, 6, 7, 5};
  const std::vector<PrototypeUse> uses = prototype_use(embeddings, prototypes, labels, 2);
  REQUIRE(uses.size() == 3);
  CHECK(uses[0].images == 3);
  CHECK(uses[0].main_class == 5);
  CHECK(uses[0].main_share == doctest::Approx(2.0 / 3));
  CHECK(uses[0].nearest == std::vector<Index>{0, 3});
  CHECK(uses[1].nearest == std::vector<Index>{2, 1});
  CHECK(uses[2].images == 0);
  CHECK(uses[2].main_class == -1);
}

TEST_CASE("pictures, charts and texts") {
  CHECK(png_data_uri({.height = 1, .width = 1}).rfind("data:image/png;base64,iVBORw0KGgo", 0) == 0);
  CHECK(png_data_uri({.height = 3, .width = 5, .channels = 3}).size() % 4 ==
        std::string("data:image/png;base64,").size() % 4);
  CHECK(escape_html("<a & \"b\">") == "&lt;a &amp; &quot;b&quot;&gt;");
  CHECK(printable("a\x1b[31m\nb\x7f \xc2\x9b"
                  "c \xc3\xa9\xff") == "a?[31m b? ?c \xc3\xa9\xff");
  CHECK(duration_text(59.4) == "59 s");
  CHECK(duration_text(200) == "3 min 20 s");
  CHECK(duration_text(7500) == "2 h 5 min");

  std::vector<Point> points;
  for (int i = 0; i < 1000; ++i) points.push_back({i * 0.01, std::sin(i * 0.1)});
  const std::string chart =
      line_chart({.title = "t", .x_label = "x", .series = {{"s", "a", points}}, .references = {{2.0, "ln K"}}});
  CHECK(has(chart, "ln K"));
  CHECK_FALSE(has(chart, "nan"));
  // One point, equal points and no points are charts as well.
  CHECK_FALSE(has(line_chart({.title = "t", .x_label = "x", .series = {{"s", "a", {{1, 3}}}}}), "nan"));
  CHECK_FALSE(has(line_chart({.title = "t", .x_label = "x", .series = {{"s", "a", {{1, 0}, {2, 0}}}}}), "nan"));
  CHECK(has(line_chart({.title = "t", .x_label = "x", .series = {}}), "nothing recorded"));
  CHECK_FALSE(has(bar_chart({.title = "t", .x_label = "x", .bars = {0, 0}}), "nan"));
}
