// What network to build. In: depth, width, stem, head. Out: the plan of its layers, under torchvision's names.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "engine/precision.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav::resnet {

/// A residual network (He et al., "Deep residual learning for image recognition", 2015; stride on the 3x3 convolution
/// of a bottleneck, as torchvision has it) with SwAV's projection head Linear-BatchNorm-ReLU-Linear.
struct Architecture {
  int depth = 18;          ///< 10 (one block a stage), 18, 34 (basic blocks) or 50 (bottlenecks)
  int width = 64;          ///< channels of the first stage, a positive multiple of 8; 64 is the published network
  bool small_stem = true;  ///< 3x3 stride 1 without pooling, for small images; else 7x7 stride 2 and max pooling
  int channels = 3;        ///< of the images
  bool head = true;        ///< without it the embeddings are the pooled features
  int head_hidden = 2048;
  int embedding = 128;
};

/// Images of one resolution: they go through the network together and share batch norm's statistics in a step.
struct ImageGroup {
  Index images;
  int size;  ///< height = width, in pixels
};

/// Where a network reads a group's images, in the memory of its processor.
struct ImageMemory {
  void* data;
  std::size_t bytes;
  Index pixel_stride;   ///< values from a pixel to the next, its channels side by side; 0: planes
  Precision precision;  ///< of the values
};

/// A convolution and the batch norm behind it.
struct UnitPlan {
  std::string convolution, norm;  ///< names as in torchvision's state dictionary, without ".weight"
  Index in, out, kernel, stride;
};

struct BlockPlan {
  std::vector<UnitPlan> units;
  std::optional<UnitPlan> downsample;
};

struct TrunkPlan {
  UnitPlan stem;
  bool max_pool;
  std::vector<BlockPlan> blocks;
  Index features;  ///< channels of the last stage
};

/// Calls visit(UnitPlan) for the stem, then each block's units and its downsample.
template <class Visit>
void for_each_unit(const TrunkPlan& plan, Visit&& visit) {
  visit(plan.stem);
  for (const BlockPlan& block : plan.blocks) {
    for (const UnitPlan& unit : block.units) visit(unit);
    if (block.downsample) visit(*block.downsample);
  }
}

/// Throws InvalidInput for an architecture that does not exist.
[[nodiscard]] TrunkPlan plan_trunk(const Architecture& architecture);

/// Throws InvalidInput unless the trunk can be trained on these groups: there is at least one, every size and count is
/// positive, and every batch norm, which sees those of all `ranks`, sees more than one value.
void check_groups(const Architecture& architecture, const std::vector<ImageGroup>& groups, int ranks = 1);

}  // namespace swav::resnet
