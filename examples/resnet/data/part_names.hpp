// What the name of a folder or a shard says of the part of a data set in it. In: a name. Out: the part, or none.
#pragma once

#include <string>

namespace swav::resnet {

enum class PartKind { none, training, held_out, unlabeled };

/// By the words of the name, in any case, a word being letters that belong together: "train2017", "TrainImages" and
/// "imagenet-train-0001.tar" are of training images, "valid", "Test_set" and "x.dev.tar" of held-out ones.
[[nodiscard]] PartKind part_kind(const std::string& name);

}  // namespace swav::resnet
