// The convolutional part of a residual network at one resolution. In: planar float images, shared weights. Out: steps
// of a Program from images to pooled features and back.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "engine/batch_norm.hpp"
#include "engine/convolution.hpp"
#include "engine/max_pooling.hpp"
#include "model/weights.hpp"

namespace swav::resnet {

/// A convolution's and its batch norm's parameters, shared by all resolutions of one program.
struct UnitParameters {
  ConvolutionWeights convolution;
  NormParameters norm;
};

/// The parameters of every unit of a trunk, as one program uses them.
class TrunkParameters {
 public:
  /// `weights` outlives the program. Without `training`, gradients are not touched.
  TrunkParameters(const TrunkPlan& plan, Weights& weights, bool training);

  [[nodiscard]] const TrunkPlan& plan() const { return plan_; }
  /// Units in the order stem, then each block's units and its downsample.
  [[nodiscard]] UnitParameters& operator[](std::size_t unit) { return units_[unit]; }

 private:
  TrunkPlan plan_;
  std::deque<UnitParameters> units_;
};

/// Where a resolution's images come from and its features go to.
struct TrunkEnds {
  Buffer* images;    ///< images x channels x size x size, planar float
  Buffer* features;  ///< rows of plan.features floats, shared by all resolutions
  Index first_row;   ///< this resolution's first row there
};

class Trunk {
 public:
  enum class Mode { training, evaluation };

  /// Adds the forward steps. In evaluation the weights' conversion and the running statistics go to Section::prepare.
  Trunk(Program& program, TrunkParameters& parameters, ImageGroup group, Precision precision, Mode mode,
        TrunkEnds ends);
  /// Adds the backward steps, from the gradient of the features (the same shape as them).
  void backward(Program& program, Buffer* grad_features);

 private:
  /// One unit at this resolution: its convolution, its norm and the activations kept for the backward pass.
  struct Unit {
    Unit(UnitParameters& parameters, const ChannelLayout& input, Index stride, Precision precision, int threads)
        : convolution(parameters.convolution, input, stride, precision),
          norm(parameters.norm, convolution.output(), precision, threads) {}
    Convolution convolution;
    BatchNorm norm;
    Buffer* convolved = nullptr;
  };
  struct Block {
    std::vector<Unit*> units;
    Unit* downsample = nullptr;
    ChannelLayout input_layout;
    Buffer* input = nullptr;
    Buffer* output = nullptr;
  };

  void convolve(Program& program, Unit& unit, Buffer* input);
  Buffer* activation(Program& program, const ChannelLayout& layout) const;

  Precision precision_;
  Mode mode_;
  TrunkEnds ends_;
  std::deque<Unit> units_;
  Unit* stem_ = nullptr;
  Buffer* stem_output_ = nullptr;
  std::unique_ptr<MaxPooling> max_pooling_;
  std::vector<Block> blocks_;
};

}  // namespace swav::resnet
