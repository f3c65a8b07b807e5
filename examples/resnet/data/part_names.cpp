// The words that data sets use for their parts. In: a name. Out: the part.
#include "data/part_names.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "data/image_names.hpp"

namespace swav::resnet {
namespace {

constexpr std::array<std::string_view, 6> training = {"train",       "training", "trainset",
                                                      "trainingset", "trainval", "trn"};
constexpr std::array<std::string_view, 12> held_out = {"val",  "valid",   "validation", "valset",
                                                       "dev",  "eval",    "evaluation", "validationset",
                                                       "test", "testing", "testset",    "holdout"};
constexpr std::array<std::string_view, 2> unlabeled = {"unlabeled", "unlabelled"};

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_letter(char c) { return is_upper(c) || (c >= 'a' && c <= 'z'); }

// In lower case.
std::vector<std::string> words_of(const std::string& name) {
  std::vector<std::string> words(1);
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool starts_word = i > 0 && is_upper(name[i]) && !is_upper(name[i - 1]);
    if (!is_letter(name[i]) || starts_word) words.emplace_back();
    if (is_letter(name[i])) words.back() += name[i];
  }
  for (std::string& word : words) word = lower_case(word);
  return words;
}

}  // namespace

PartKind part_kind(const std::string& name) {
  const std::vector<std::string> words = words_of(name);
  const auto has_one_of = [&](const auto& list) {
    return std::ranges::any_of(words, [&](const std::string& w) { return std::ranges::find(list, w) != list.end(); });
  };
  if (has_one_of(training)) return PartKind::training;
  if (has_one_of(held_out)) return PartKind::held_out;
  return has_one_of(unlabeled) ? PartKind::unlabeled : PartKind::none;
}

}  // namespace swav::resnet
