// Several runs on one page. In: their folders, results of swav-eval. Out: one HTML file that needs nothing else.
#pragma once

#include <string>
#include <vector>

namespace swav::resnet {

/// How many runs, or curves of accuracy over labels, a page can tell apart.
inline constexpr std::size_t most_compared = 8;

/// Replaces `path` as a whole. `runs`: folders of swav-train, with a checkpoint and metrics. `results`: files that
/// `swav-eval --json` appended to; of them the curves of `finetune` are drawn, a mean over seeds. Throws FileError for
/// what cannot be read or is something else, InvalidInput without a run or with more than can be told apart.
void write_comparison(const std::string& path, const std::vector<std::string>& runs,
                      const std::vector<std::string>& results);

}  // namespace swav::resnet
