// metrics.jsonl: written by printf for steps, so that a step allocates nothing, and read by nlohmann's parser.
#include "train/metrics.hpp"

#include <unistd.h>

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>

#include "swav/io/atomic_file.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {
namespace {

using Json = nlohmann::json;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& reason) {
  throw FileError(path.string(), reason);
}

// Calls visit(line, object) for each complete line; a last line without its end was cut off and is left out.
template <class Visit>
void for_each_line(const std::filesystem::path& path, Visit&& visit) {
  std::ifstream file(path);
  if (!file) fail(path, "cannot be opened for reading");
  std::string line;
  for (int number = 1; std::getline(file, line) && !file.eof(); ++number) {
    const Json object = Json::parse(line, nullptr, false);
    if (!object.is_object() || !object.contains("step") || !object["step"].is_number_integer())
      fail(path, "line " + std::to_string(number) + " is no record of a step");
    visit(line, object);
  }
}

void keep_lines_until(const std::filesystem::path& path, Index last_step) {
  std::string kept;
  for_each_line(path, [&](const std::string& line, const Json& object) {
    const Index step = object["step"].get<Index>();
    if (step < last_step || (step == last_step && !object.contains("knn_accuracy"))) kept += line + '\n';
  });
  const std::array<std::span<const std::byte>, 1> parts{std::as_bytes(std::span(kept))};
  write_file_atomically(path.string(), parts);
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& path, Index last_step) : path_(path) {
  if (last_step > 0 && std::filesystem::exists(path)) keep_lines_until(path, last_step);
  file_.reset(std::fopen(path.c_str(), last_step > 0 ? "ab" : "wb"));
  if (!file_) fail(path, "cannot be opened for writing");
}

void MetricsLog::write_line(const char* text, std::size_t length) {
  if (std::fwrite(text, 1, length, file_.get()) != length || std::fflush(file_.get()) != 0)
    fail(path_, "cannot be written (is the disk full?)");
}

void MetricsLog::write(const StepRecord& r) {
  std::array<char, 512> line;
  const int length = std::snprintf(
      line.data(), line.size(),
      "{\"step\":%td,\"epoch\":%td,\"loss\":%.9g,\"loss_over_ln_k\":%.9g,\"code_entropy\":%.9g,\"prototypes_used\":%td,"
      "\"feature_spread\":%.9g,\"learning_rate\":%.9g,\"images_per_second\":%.6g,"
      "\"seconds\":%.6g,\"data_seconds\":%.6g}\n",
      r.step, r.epoch, r.loss, r.loss_over_ln_k, r.code_entropy, r.prototypes_used, r.feature_spread, r.learning_rate,
      r.images_per_second, r.seconds, r.data_seconds);
  write_line(line.data(), static_cast<std::size_t>(length));
}

void MetricsLog::write(const EvaluationRecord& r) {
  const std::string line = Json{{"step", r.step},
                                {"epoch", r.epoch},
                                {"knn_accuracy", r.knn_accuracy},
                                {"linear_accuracy", r.linear_accuracy},
                                {"training_seconds", r.training_seconds},
                                {"evaluation_seconds", r.evaluation_seconds}}
                               .dump() +
                           "\n";
  write_line(line.data(), line.size());
}

void MetricsLog::write(const WarningRecord& r) {
  const std::string line = json_text({{"step", r.step}, {"epoch", r.epoch}, {"warning", r.text}}) + "\n";
  write_line(line.data(), line.size());
}

void MetricsLog::sync() {
  if (std::fflush(file_.get()) != 0 || fsync(fileno(file_.get())) != 0)
    fail(path_, "cannot be written (is the disk full?)");
}

MetricsHistory read_metrics(const std::filesystem::path& path) {
  MetricsHistory history;
  for_each_line(path, [&](const std::string&, const Json& o) {
    try {
      const Index step = o.at("step"), epoch = o.at("epoch");
      if (o.contains("loss"))
        history.steps.push_back({step, epoch, o.at("loss"), o.at("loss_over_ln_k"), o.at("code_entropy"),
                                 o.at("prototypes_used"), o.at("feature_spread"), o.at("learning_rate"),
                                 o.at("images_per_second"), o.at("seconds"), o.at("data_seconds")});
      else if (o.contains("warning"))
        history.warnings.push_back({step, epoch, o.at("warning")});
      else
        history.evaluations.push_back({step, epoch, o.at("knn_accuracy"), o.at("linear_accuracy"),
                                       o.at("training_seconds"), o.at("evaluation_seconds")});
    } catch (const Json::exception& error) {
      fail(path, error.what());
    }
  });
  return history;
}

}  // namespace swav::resnet
