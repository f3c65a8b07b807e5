// Evaluations of features as they are. In: a session. Out: k-NN, linear and cluster results, printed and recorded.
#pragma once

#include <string>
#include <vector>

#include "eval/session.hpp"
#include "swav/evaluate/linear_probe.hpp"

namespace swav::resnet {

struct KnnCommand {
  std::vector<Index> neighbors = {20};
  double temperature = 0.07;
};
/// Accuracy of the weighted k-NN classifier, for each number of neighbours.
void run_knn(Session& session, const KnnCommand& command);

struct LinearCommand {
  LinearProbeOptions probe = {};
  std::string save = {};  ///< file for "fc.weight" and "fc.bias" of the features as they are; "": none
};
/// Accuracy of a linear classifier on frozen features.
void run_linear(Session& session, const LinearCommand& command);

struct ClusterCommand {
  std::string part = "test";
  Index clusters = 0;  ///< of k-means; 0: as many as there are classes
  std::uint64_t seed = 0;
};
/// Agreement with the classes of k-means clusters of the features, and of each prototype head's arg max if there are
/// prototypes.
void run_cluster(Session& session, const ClusterCommand& command);

}  // namespace swav::resnet
