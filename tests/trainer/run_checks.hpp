// What tests ask of runs. In: their folders. Out: yes or no.
#pragma once

#include <algorithm>
#include <filesystem>

#include "swav/io/safetensors.hpp"
#include "train/checkpoint.hpp"

namespace swav::test {

/// Whether two runs ended in the same state, to the last bit: every tensor of their checkpoints.
inline bool same_state(const std::filesystem::path& a, const std::filesystem::path& b) {
  const SafetensorsFile left(resnet::checkpoint_path(a)), right(resnet::checkpoint_path(b));
  if (left.tensors().size() != right.tensors().size()) return false;
  for (const StoredTensor& tensor : left.tensors())
    if (!std::equal(tensor.bytes.begin(), tensor.bytes.end(), right.at(tensor.name).bytes.begin(),
                    right.at(tensor.name).bytes.end()))
      return false;
  return true;
}

}  // namespace swav::test
