// What a run finds in its folder, and leaves there of an old one. In: settings. Out: the folder.
#include "train/run_folder.hpp"

#include <filesystem>

#include "swav/core/error.hpp"
#include "swav/io/file_error.hpp"
#include "train/checkpoint.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {

void require_no_other_run(const TrainOptions& options) {
  detail::require(options.resume || options.overwrite || !has_checkpoint(options.output), "--output: ", options.output,
                  " holds a run already; --resume to continue it, --overwrite to replace it, or another folder wanted");
}

void prepare_folder(const TrainOptions& options) {
  const std::filesystem::path folder = options.output;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw FileError(options.output, "cannot be created (" + error.message() + ")");
  if (options.resume) return;
  for (const std::filesystem::path& old : {std::filesystem::path(checkpoint_path(folder)), folder / "report.html"})
    if (std::filesystem::is_regular_file(old)) std::filesystem::remove(old);
}

std::string resume_command(const std::string& program, const TrainOptions& options, const std::string& launcher) {
  std::string command = launcher + (launcher.empty() ? "" : " ") + shell_word(program) + " --resume --output " +
                        shell_word(options.output);
  // A checkpoint cannot hold a name that is no UTF-8.
  if (!is_utf8(options.data_dir)) command += " --data-dir " + shell_word(options.data_dir);
  return command;
}

}  // namespace swav::resnet
