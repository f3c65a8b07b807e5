// What every evaluation starts from. In: a checkpoint, a data set, how to look at it. Out: features of the data set's
// parts.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/dataset.hpp"
#include "model/stored_network.hpp"
#include "train/evaluation.hpp"

namespace swav::resnet {

struct SessionOptions {
  std::string checkpoint = {};
  std::string data = {};       ///< "": the data set of the checkpoint's run
  std::string data_dir = {};   ///< "": as in the run, or where load_dataset looks for it
  int size = 0;                ///< side of the images in pixels; 0: theirs, or the run's large crops', or 224
  std::string device = "cpu";  ///< what the network computes on: "cpu" or "cuda"
  std::string precision = "auto";
  int threads = 0;
  double max_bad_share = 0.01;
  std::string json = {};  ///< file to which results are appended, a line each; "": none
};

/// A network from a file and a data set that goes with it.
class Session {
 public:
  /// Throws FileError for files that cannot be read, InvalidInput where no data set is named, or its images have other
  /// channels than the network.
  explicit Session(SessionOptions options);

  [[nodiscard]] const SessionOptions& options() const { return options_; }
  [[nodiscard]] const StoredNetwork& stored() const { return stored_; }
  [[nodiscard]] const Dataset& data() const { return data_; }
  [[nodiscard]] Index size() const { return size_; }
  [[nodiscard]] Precision precision() const { return precision_; }
  [[nodiscard]] Processor processor() const { return options_.device == "cuda" ? Processor::cuda : Processor::cpu; }
  /// The stored network, made when first asked for. Throws InvalidInput where this CPU cannot compute in the precision.
  [[nodiscard]] Network& network();

  /// "training", "test" or "unlabeled". Throws InvalidInput where the data set has no such part.
  [[nodiscard]] const ImageSource& part(const std::string& name) const;
  /// Backbone features of a part; images that cannot be read are named on the standard error and left out.
  [[nodiscard]] PartFeatures features(const ImageSource& images);
  /// Of training and test images. Throws InvalidInput unless both have classes and enough images.
  [[nodiscard]] Features labelled_features();
  void tell_problems() const;

  /// Prints the protocol and the result, and appends both, with what they are of, to the file of --json.
  void report(const std::string& command, const std::string& protocol, const nlohmann::json& result) const;

 private:
  SessionOptions options_;
  StoredNetwork stored_;
  Dataset data_;
  Index size_ = 0;
  Precision precision_ = Precision::float32;
  std::unique_ptr<Network> network_;
};

}  // namespace swav::resnet
