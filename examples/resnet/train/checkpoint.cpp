// Checkpoints on safetensors. In: tensors and metadata. Out: the same.
#include "train/checkpoint.hpp"

#include <nlohmann/json.hpp>

#include "swav/core/error.hpp"
#include "swav/io/safetensors.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {
namespace {

using Json = nlohmann::json;

constexpr const char* record_key = "swav_train";

Json read_record(const SafetensorsFile& file, const std::string& path) {
  const Json record = Json::parse(file.metadata(record_key), nullptr, false);
  if (!record.is_object()) throw FileError(path, "its run's record is no JSON object");
  return record;
}

}  // namespace

std::string checkpoint_path(const std::filesystem::path& folder) {
  return (folder / "checkpoint.safetensors").string();
}

bool has_checkpoint(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::is_regular_file(checkpoint_path(folder), error);
}

void write_checkpoint(const std::filesystem::path& folder, const TrainOptions& options, Learner& learner,
                      const RunPosition& position) {
  std::vector<StoredTensor> tensors;
  learner.download();
  for (const StateTensor& tensor : learner.state())
    tensors.push_back(stored_tensor<float>(tensor.name, tensor.shape, tensor.value));
  const Json record{{"options", to_json(options)},
                    {"step", position.step},
                    {"total_steps", position.total_steps},
                    {"queue_rows", learner.queue_rows()},
                    {"training_seconds", position.training_seconds},
                    {"evaluation_seconds", position.evaluation_seconds},
                    {"images", position.images},
                    {"image_names", position.image_names}};
  write_safetensors(checkpoint_path(folder), tensors, {{"format", "pt"}, {record_key, json_text(record)}});
}

TrainOptions read_checkpoint_options(const std::filesystem::path& folder) {
  const std::string path = checkpoint_path(folder);
  const SafetensorsFile file(path);
  const Json record = read_record(file, path);
  TrainOptions options;
  try {
    from_json(record.at("options"), options);
    validate(options);
  } catch (const InvalidInput& error) {
    throw FileError(path, error.what());
  } catch (const Json::exception& error) {
    throw FileError(path, error.what());
  }
  return options;
}

RunPosition first_position(const ImageSource& images) {
  return {.images = images.count(), .image_names = images.names_hash()};
}

RunPosition restore_checkpoint(const std::filesystem::path& folder, Learner& learner, const RunPosition& first) {
  const std::string path = checkpoint_path(folder);
  const SafetensorsFile file(path);
  const Json record = read_record(file, path);
  RunPosition position;
  Index queue_rows = 0;
  try {
    queue_rows = record.at("queue_rows");
    position = {record.at("step"),
                record.at("total_steps"),
                record.at("training_seconds"),
                record.at("evaluation_seconds"),
                record.at("images"),
                record.value("image_names", std::uint64_t{0})};
  } catch (const Json::exception& error) {
    throw FileError(path, error.what());
  }
  if (position.step < 0 || position.total_steps < position.step)
    throw FileError(path, detail::concatenate("step ", position.step, " of ", position.total_steps,
                                              " found, 0 or more and no more than all wanted"));
  if (queue_rows < 0) throw FileError(path, detail::concatenate("queue_rows ", queue_rows, " found, 0 or more wanted"));
  detail::require(position.images == first.images, "--data-dir: ", first.images, " images found, ", position.images,
                  " wanted, as when the checkpoint was written: their order depends on it");
  // Early checkpoints have no hash.
  detail::require(position.image_names == 0 || position.image_names == first.image_names, "--data-dir: ", first.images,
                  " images found of which some have other names than when the checkpoint was written, the same names "
                  "wanted: the images' order depends on them");

  const std::vector<StateTensor> state = learner.state();
  for (const StateTensor& tensor : state) {
    const StoredTensor& stored = file.at(tensor.name);
    if (stored.shape != tensor.shape || stored.dtype != Dtype::f32)
      throw FileError(path,
                      detail::concatenate("tensor '", tensor.name, "' has another shape or type than this run's"));
  }
  for (const StateTensor& tensor : state) file.read(tensor.name, VectorView<float>(tensor.value));
  learner.resume_at(position.step, position.total_steps, queue_rows);
  return position;
}

}  // namespace swav::resnet
