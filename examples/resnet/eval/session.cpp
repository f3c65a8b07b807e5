// A checkpoint's run says which data set and which size are meant, where the options leave it open.
#include "eval/session.hpp"

#include <omp.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "eval/json_lines.hpp"
#include "swav/core/error.hpp"
#include "train/learner.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {
namespace {

// The settings of the run that wrote the file, or null.
nlohmann::json run_settings(const StoredNetwork& stored) {
  const auto record = stored.metadata().find("swav_train");
  if (record == stored.metadata().end()) return nullptr;
  const nlohmann::json parsed = nlohmann::json::parse(record->second, nullptr, false);
  return parsed.is_object() ? parsed.value("options", nlohmann::json()) : nullptr;
}

SessionOptions completed(SessionOptions options, const StoredNetwork& stored) {
  const nlohmann::json run = run_settings(stored);
  if (run.is_object()) {
    const std::string data = run.value("data", "");
    if (options.data.empty()) options.data = data;
    if (options.data_dir.empty() && options.data == data) options.data_dir = run.value("data-dir", "");
    if (options.size == 0) options.size = run.value("large-size", 0);
  }
  detail::require(!options.data.empty(), "--data: none found, one wanted: ", stored.path(),
                  " has no record of the data set it was trained on");
  return options;
}

}  // namespace

Session::Session(SessionOptions options)
    : options_(std::move(options)),
      stored_(options_.checkpoint),
      precision_(resolve_precision(options_.precision, options_.device)) {
  detail::require(options_.size == 0 || options_.size >= 8, "--size: ", options_.size, " found, 8 or more wanted");
  if (options_.threads > 0) omp_set_num_threads(options_.threads);
  const int asked = options_.size;
  options_ = completed(options_, stored_);
  data_ = load_dataset(options_.data, options_.data_dir, {.max_bad_share = options_.max_bad_share});
  detail::require(data_.training->channels() == stored_.architecture().channels, "--data: images of ",
                  data_.training->channels(), " channel(s) found, ", stored_.architecture().channels,
                  " wanted, the network's");
  const Index side = data_.training->side();
  detail::require(asked == 0 || side == 0 || asked == side, "--size: ", asked, " found, ", side,
                  " wanted: these images are taken whole");
  size_ = side > 0 ? side : options_.size > 0 ? options_.size : 224;
}

Network& Session::network() {
  if (!network_) network_ = stored_.network_for_features(precision_, processor());
  return *network_;
}

const ImageSource& Session::part(const std::string& name) const {
  const ImageSource* images = name == "training"    ? data_.training.get()
                              : name == "unlabeled" ? data_.unlabeled.get()
                                                    : data_.test.get();
  detail::require(images != nullptr, "--part: ", name, " found, which ", data_.name, " does not have");
  return *images;
}

PartFeatures Session::features(const ImageSource& images) {
  PartFeatures features = extract_part(network(), precision_, images, data_.normalization, size_);
  tell_problems();
  detail::require(features.rows.rows() > 0, "--data: no image that can be read found, 1 or more wanted");
  return features;
}

Features Session::labelled_features() {
  const std::string lacking = why_no_accuracies(data_, image_counts(data_));
  detail::require(lacking.empty(), "--data: ", data_.name, " gives no accuracies: ", lacking);
  Features both{.training = features(*data_.training), .test = features(*data_.test)};
  const std::string unread = why_no_accuracies(data_, image_counts(both));
  detail::require(unread.empty(), "--data: ", data_.name, " gives no accuracies: ", unread);
  return both;
}

void Session::tell_problems() const {
  for (const std::string& problem : data_.take_problems())
    std::fprintf(stderr, "swav-eval: warning: %s\n", printable(problem).c_str());
}

void Session::report(const std::string& command, const std::string& protocol, const nlohmann::json& result) const {
  std::printf("%s\n", printable(protocol).c_str());
  for (const auto& [name, value] : result.items())
    std::printf("  %-24s %s\n", name.c_str(),
                value.is_number_float() ? four_digits(value).c_str() : json_text(value).c_str());
  if (options_.json.empty()) return;
  nlohmann::json line{{"command", command},
                      {"checkpoint", stored_.path()},
                      {"data", options_.data},
                      {"device", options_.device},
                      {"precision", precision_ == Precision::bfloat16 ? "bfloat16" : "float32"},
                      {"protocol", protocol}};
  line.update(result);
  append_json_line(options_.json, line);
}

}  // namespace swav::resnet
