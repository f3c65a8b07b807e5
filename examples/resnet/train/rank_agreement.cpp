// Agreement by maxima, and by texts where it is rare. In: values of each rank. Out: values of all.
#include "train/rank_agreement.hpp"

#include <sstream>

#include "swav/core/error.hpp"

namespace swav::resnet {

double largest_of_ranks(const RankGroup& ranks, double value) {
  ranks.maximum(&value, 1);
  return value;
}

std::vector<std::string> of_all_ranks(const RankGroup& ranks, const std::vector<std::string>& lines) {
  if (ranks.size() == 1 || largest_of_ranks(ranks, static_cast<double>(lines.size())) == 0) return lines;
  std::string own;
  for (const std::string& line : lines) own += std::to_string(line.size()) + ' ' + line;
  std::vector<std::string> all;
  for (const std::string& text : ranks.texts(own)) {
    std::istringstream rest(text);
    for (std::size_t length = 0; rest >> length;) {
      std::string line(length, '\0');
      rest.ignore(1).read(line.data(), static_cast<std::streamsize>(length));
      all.push_back(std::move(line));
    }
  }
  return all;
}

void require_one_run(const RankGroup& ranks, const RunPosition& position) {
  if (ranks.size() == 1) return;
  const std::vector<std::string> found =
      ranks.texts(detail::concatenate("step ", position.step, " of a run on ", position.images,
                                      " images, whose names have the hash ", position.image_names));
  for (std::size_t rank = 1; rank < found.size(); ++rank)
    detail::require(found[rank] == found[0], "--data-dir, --output: ", found[rank], ", found by rank ", rank, ", ",
                    found[0], " by rank 0; folders that all ranks share wanted");
}

}  // namespace swav::resnet
