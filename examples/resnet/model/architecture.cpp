// The layer plans of the residual networks. In: an Architecture. Out: names, channels, kernels, strides.
#include "model/architecture.hpp"

#include <array>

#include "swav/core/error.hpp"

namespace swav::resnet {
namespace {

struct Depth {
  int depth;
  bool bottleneck;
  std::array<int, 4> blocks;
};

constexpr std::array<Depth, 4> depths = {{
    {10, false, {1, 1, 1, 1}},
    {18, false, {2, 2, 2, 2}},
    {34, false, {3, 4, 6, 3}},
    {50, true, {3, 4, 6, 3}},
}};

const Depth& find_depth(int depth) {
  for (const Depth& known : depths)
    if (known.depth == depth) return known;
  throw InvalidInput(detail::concatenate("architecture: depth ", depth, " found, 10, 18, 34 or 50 wanted"));
}

}  // namespace

TrunkPlan plan_trunk(const Architecture& architecture) {
  const Depth& depth = find_depth(architecture.depth);
  detail::require(architecture.width > 0 && architecture.width % 8 == 0, "architecture: width ", architecture.width,
                  " found, a positive multiple of 8 wanted");
  detail::require(architecture.channels > 0, "architecture: channels ", architecture.channels,
                  " found, 1 or more wanted");
  if (architecture.head) {
    detail::require(architecture.head_hidden > 0, "architecture: head_hidden ", architecture.head_hidden,
                    " found, 1 or more wanted");
    detail::require(architecture.embedding > 0, "architecture: embedding ", architecture.embedding,
                    " found, 1 or more wanted");
  }
  const Index width = architecture.width;
  TrunkPlan plan{.stem = {"conv1", "bn1", architecture.channels, width, architecture.small_stem ? 3 : 7,
                          architecture.small_stem ? 1 : 2},
                 .max_pool = !architecture.small_stem,
                 .blocks = {},
                 .features = 0};
  Index in = width;
  for (std::size_t stage = 0; stage < 4; ++stage) {
    const Index inner = width << stage;
    const Index out = depth.bottleneck ? 4 * inner : inner;
    for (int block = 0; block < depth.blocks[stage]; ++block) {
      const Index stride = stage > 0 && block == 0 ? 2 : 1;
      const std::string name = "layer" + std::to_string(stage + 1) + "." + std::to_string(block) + ".";
      BlockPlan& planned = plan.blocks.emplace_back();
      if (depth.bottleneck) {
        planned.units = {{name + "conv1", name + "bn1", in, inner, 1, 1},
                         {name + "conv2", name + "bn2", inner, inner, 3, stride},
                         {name + "conv3", name + "bn3", inner, out, 1, 1}};
      } else {
        planned.units = {{name + "conv1", name + "bn1", in, inner, 3, stride},
                         {name + "conv2", name + "bn2", inner, inner, 3, 1}};
      }
      if (stride != 1 || in != out)
        planned.downsample = UnitPlan{name + "downsample.0", name + "downsample.1", in, out, 1, stride};
      in = out;
    }
  }
  plan.features = in;
  return plan;
}

void check_groups(const Architecture& architecture, const std::vector<ImageGroup>& groups, int ranks) {
  detail::require(!groups.empty(), "groups: 0 found, at least one resolution wanted");
  Index images = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    detail::require(groups[g].images > 0, "groups[", g, "]: ", groups[g].images, " images found, 1 or more wanted");
    detail::require(groups[g].size > 0, "groups[", g, "]: images of ", groups[g].size,
                    " pixels a side found, 1 or more wanted");
    // Every stage but the first halves the side, rounding up; the ImageNet stem halves it twice before.
    Index side = groups[g].size;
    for (int halving = architecture.small_stem ? 2 : 0; halving < 5; ++halving) side = (side + 1) / 2;
    detail::require(ranks * groups[g].images * side * side > 1, "groups[", g, "]: one image of ", groups[g].size,
                    " pixels a side found; batch norm wants more than one value a channel in the last stage");
    images += groups[g].images;
  }
  detail::require(!architecture.head || ranks * images > 1, "groups: ", images,
                  " image found; batch norm in the head wants more than one");
}

}  // namespace swav::resnet
