// Features for other programs. In: a session. Out: a safetensors or NumPy file.
#pragma once

#include <string>

#include "eval/session.hpp"

namespace swav::resnet {

struct EmbedCommand {
  std::string output = {};  ///< NAME.safetensors or NAME.npy
  std::string part = "test";
  bool projection = false;  ///< the projection head's unit outputs instead of the backbone's features
};

/// NAME.safetensors gets "features" (n x D), "images" (the number of each row's image in the part) and, where there are
/// classes, "labels". NAME.npy gets the features, NAME.labels.npy the labels, both in version 1.0 of NumPy's format.
/// Throws InvalidInput for another name, or where a projection is asked for of a network without head.
void run_embed(Session& session, const EmbedCommand& command);

}  // namespace swav::resnet
