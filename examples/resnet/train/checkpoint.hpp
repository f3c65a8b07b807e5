// Checkpoints, folder/checkpoint.safetensors. In: a learner and where its run stands. Out: the file; a learner that
// goes on from it, bit for bit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "train/learner.hpp"
#include "train/options.hpp"

namespace swav::resnet {

/// Where a run stands, beyond the learner's tensors.
struct RunPosition {
  Index step = 0;
  Index total_steps = 0;
  double training_seconds = 0;
  double evaluation_seconds = 0;
  Index images = 0;               // that it learns from
  std::uint64_t image_names = 0;  // ImageSource::names_hash()
};

/// Where a new run on these images stands.
[[nodiscard]] RunPosition first_position(const ImageSource& images);

[[nodiscard]] std::string checkpoint_path(const std::filesystem::path& folder);
[[nodiscard]] bool has_checkpoint(const std::filesystem::path& folder);

/// Replaces the checkpoint as a whole: a kill at any moment leaves the old one or the new one. The metadata has
/// "format" (which PyTorch's loaders ask for) and "swav_train": the options and the position, as JSON.
void write_checkpoint(const std::filesystem::path& folder, const TrainOptions& options, Learner& learner,
                      const RunPosition& position);

/// The options its run was started with. Throws FileError for a file that is damaged or of another program.
[[nodiscard]] TrainOptions read_checkpoint_options(const std::filesystem::path& folder);

/// Fills a learner made from the checkpoint's options; `first` is where a new run on its images would stand. Throws
/// FileError, with the learner unchanged, when a tensor is missing or of another shape, InvalidInput when the images
/// are not those of the checkpoint, by number and by name.
RunPosition restore_checkpoint(const std::filesystem::path& folder, Learner& learner, const RunPosition& first);

}  // namespace swav::resnet
