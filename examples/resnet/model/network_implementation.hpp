// What Network and FeatureExtractor are made of, whatever the engine. In: what they are asked for. Out: an interface
// for each, and who makes them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/program.hpp"
#include "model/network.hpp"

namespace swav::resnet {

struct FeatureExtractor::Implementation {
  virtual ~Implementation() = default;
  [[nodiscard]] virtual std::span<float> input() = 0;
  [[nodiscard]] virtual ImageMemory images() = 0;
  virtual void compute() = 0;
  virtual MatrixView<const float> features() = 0;
  virtual void refresh() = 0;
};

/// What a network is, apart from its engine.
struct NetworkDescription {
  NetworkDescription(const Architecture& wanted, std::vector<ImageGroup> wanted_groups, Precision stored,
                     Gradients wanted_gradients, RankGroup all_ranks);

  Architecture architecture;
  std::vector<ImageGroup> groups;
  Precision precision;
  Gradients gradients;
  RankGroup ranks;
  TrunkPlan plan;
  Index rows = 0;
  Index columns = 0;
};

struct Network::Implementation {
  Implementation(const NetworkDescription& wanted, std::uint64_t seed)
      : description(wanted), weights(wanted.architecture, wanted.plan, seed) {}
  virtual ~Implementation() = default;

  [[nodiscard]] virtual std::span<float> input(std::size_t group) = 0;
  [[nodiscard]] virtual ImageMemory images(std::size_t group) = 0;
  virtual MatrixView<const float> forward() = 0;
  virtual void backward(MatrixView<const float> grad_embeddings) = 0;
  [[nodiscard]] virtual std::vector<NamedTensor>& parameters() = 0;
  [[nodiscard]] virtual std::span<float> gradients() = 0;
  virtual void upload() = 0;
  virtual void download() = 0;
  [[nodiscard]] virtual Program& program() = 0;
  [[nodiscard]] virtual std::unique_ptr<FeatureExtractor::Implementation> extractor(ImageGroup batch,
                                                                                    Precision precision) = 0;

  NetworkDescription description;
  Weights weights;
  bool forward_done = false;
};

/// One for each processor; that of CUDA throws InvalidInput in a build without.
[[nodiscard]] std::unique_ptr<Network::Implementation> make_cpu_network(const NetworkDescription& description,
                                                                        std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Network::Implementation> make_cuda_network(const NetworkDescription& description,
                                                                         std::uint64_t seed);

}  // namespace swav::resnet
