// Copies stored weights into a learner's state. In: a network from a file. Out: what was taken.
#include "train/initial_weights.hpp"

#include <algorithm>

#include "swav/core/error.hpp"

namespace swav::resnet {
namespace {

std::string settings(const Architecture& a) {
  return detail::concatenate("--depth ", a.depth, " --width ", a.width, " --stem ", a.small_stem ? "small" : "imagenet",
                             " and ", a.channels, " channel(s)");
}

bool is_prototypes(const StateTensor& tensor) { return tensor.name.starts_with("prototypes."); }

}  // namespace

std::string take_initial_weights(const StoredNetwork& stored, Learner& learner) {
  const Architecture &theirs = stored.architecture(), &ours = learner.network().architecture();
  detail::require(settings(theirs) == settings(ours), "--init: ", settings(theirs), " found, ", settings(ours),
                  " wanted, this run's");
  detail::require(!theirs.head || (theirs.head_hidden == ours.head_hidden && theirs.embedding == ours.embedding),
                  "--init: a head of --hidden ", theirs.head_hidden, " --embedding ", theirs.embedding, " found, ",
                  ours.head_hidden, " and ", ours.embedding, " wanted, this run's");

  std::vector<NamedTensor> tensors = learner.network().tensors();
  if (!theirs.head)
    std::erase_if(tensors, [](const NamedTensor& tensor) { return tensor.name.starts_with("projection_head."); });
  stored.copy_to(tensors);

  std::vector<StateTensor> prototypes = learner.state();
  std::erase_if(prototypes, [](const StateTensor& tensor) { return !is_prototypes(tensor); });
  const bool same_prototypes = theirs.head && std::ranges::equal(prototypes, stored.prototypes(), {},
                                                                 &StateTensor::shape, &StoredNetwork::Tensor::shape);
  if (same_prototypes)
    for (std::size_t head = 0; head < prototypes.size(); ++head)
      std::ranges::copy(stored.prototypes()[head].values, prototypes[head].value.begin());
  learner.start_encoder();
  return std::string("started from the backbone") +
         (theirs.head ? same_prototypes ? ", the projection head and the prototypes" : " and the projection head"
                      : "") +
         " of " + stored.path() + (same_prototypes ? "" : "; the rest is random");
}

}  // namespace swav::resnet
