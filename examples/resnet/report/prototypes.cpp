// The head's forward pass by Eigen, and one sweep over the scores. In: features. Out: PrototypeUse.
#include "report/prototypes.hpp"

#include <algorithm>
#include <map>

#include "swav/core/error.hpp"

namespace swav::resnet {
namespace {

const NamedTensor& find(Network& network, const std::string& name) {
  for (const NamedTensor& tensor : network.tensors())
    if (tensor.name == name) return tensor;
  throw InvalidInput("network: no tensor " + name + " found, one wanted");
}

using RowVectorMap = Eigen::Map<const Eigen::RowVectorXf>;

RowVectorMap vector_of(Network& network, const std::string& name) {
  const NamedTensor& tensor = find(network, name);
  return {tensor.value.data(), static_cast<Index>(tensor.value.size())};
}

RowMatrix<float> linear(Network& network, const std::string& layer, const RowMatrix<float>& in) {
  const NamedTensor& weight = find(network, layer + ".weight");
  const Eigen::Map<const RowMatrix<float>> w(weight.value.data(), weight.shape[0], weight.shape[1]);
  RowMatrix<float> out(in.rows(), w.rows());
  out.noalias() = in * w.transpose();
  out.rowwise() += vector_of(network, layer + ".bias");
  return out;
}

}  // namespace

RowMatrix<float> project(Network& network, MatrixView<const float> features) {
  RowMatrix<float> hidden = linear(network, "projection_head.0", detail::as_eigen(features));
  constexpr float epsilon = 1e-5f;  // of the head's batch norm
  const Eigen::RowVectorXf scale = vector_of(network, "projection_head.1.weight").array() /
                                   (vector_of(network, "projection_head.1.running_var").array() + epsilon).sqrt();
  hidden.rowwise() -= vector_of(network, "projection_head.1.running_mean");
  hidden.array().rowwise() *= scale.array();
  hidden.rowwise() += vector_of(network, "projection_head.1.bias");
  hidden = hidden.cwiseMax(0.0f);
  RowMatrix<float> embeddings = linear(network, "projection_head.3", hidden);
  embeddings.rowwise().normalize();
  return embeddings;
}

std::vector<PrototypeUse> prototype_use(MatrixView<const float> embeddings, MatrixView<const float> prototypes,
                                        std::span<const int> labels, Index nearest) {
  struct Scored {
    float score;
    Index image;
  };
  const auto better = [](const Scored& a, const Scored& b) { return a.score > b.score; };
  const auto count = static_cast<std::size_t>(prototypes.rows);
  std::vector<std::vector<Scored>> best(count);  // heaps whose front is the worst kept
  std::vector<std::map<int, Index>> classes(count);
  std::vector<PrototypeUse> uses(count);

  constexpr Index chunk = 1024;
  RowMatrix<float> scores;
  for (Index first = 0; first < embeddings.rows; first += chunk) {
    const Index rows = std::min(chunk, embeddings.rows - first);
    scores.resize(rows, prototypes.rows);
    scores.noalias() = detail::as_eigen(embeddings.middle_rows(first, rows)) * detail::as_eigen(prototypes).transpose();
    for (Index r = 0; r < rows; ++r) {
      Index winner = 0;
      scores.row(r).maxCoeff(&winner);
      const auto w = static_cast<std::size_t>(winner);
      ++uses[w].images;
      if (!labels.empty()) ++classes[w][labels[static_cast<std::size_t>(first + r)]];
      for (std::size_t k = 0; k < count; ++k) {
        const Scored candidate{scores(r, static_cast<Index>(k)), first + r};
        std::vector<Scored>& kept = best[k];
        if (static_cast<Index>(kept.size()) == nearest) {
          if (!better(candidate, kept.front())) continue;
          std::pop_heap(kept.begin(), kept.end(), better);
          kept.pop_back();
        }
        kept.push_back(candidate);
        std::push_heap(kept.begin(), kept.end(), better);
      }
    }
  }
  for (std::size_t k = 0; k < count; ++k) {
    uses[k].prototype = static_cast<Index>(k);
    for (const auto& [label, images] : classes[k]) {
      const double share = static_cast<double>(images) / static_cast<double>(uses[k].images);
      if (share > uses[k].main_share) {
        uses[k].main_share = share;
        uses[k].main_class = label;
      }
    }
    std::sort_heap(best[k].begin(), best[k].end(), better);
    for (const Scored& scored : best[k]) uses[k].nearest.push_back(scored.image);
  }
  return uses;
}

}  // namespace swav::resnet
