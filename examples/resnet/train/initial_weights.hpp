// Weights to start a run from. In: a network from a file. Out: a learner that has them.
#pragma once

#include <string>

#include "model/stored_network.hpp"
#include "train/learner.hpp"

namespace swav::resnet {

/// Copies the trunk, the projection head if the file has one, and the prototypes if they are as many, of the same
/// dimension. Says which in a line. Throws InvalidInput, with the learner unchanged, where trunk or head are of another
/// architecture than the learner's.
std::string take_initial_weights(const StoredNetwork& stored, Learner& learner);

}  // namespace swav::resnet
