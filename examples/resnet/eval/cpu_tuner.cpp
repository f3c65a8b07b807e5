// The tuner of the CPU. In: a network on oneDNN. Out: steps on it and Eigen.
#include <utility>

#include "eval/basic_tuner.hpp"
#include "eval/softmax_layer.hpp"
#include "swav/optim/sgd.hpp"

namespace swav::resnet {
namespace {

/// See basic_tuner.hpp.
class CpuLayer {
 public:
  using Device = EigenDevice;

  CpuLayer(const Classifier& start, Index) : layer_(start) {}
  [[nodiscard]] static Device device() { return {}; }

  MatrixView<const float> step(MatrixView<const float> features, std::span<const int> labels) {
    loss_ += layer_.step(features, {labels.data(), std::ssize(labels)}, grad_features_);
    return grad_features_;
  }
  [[nodiscard]] std::vector<Parameter<float>> parameters() {
    return {{.value = {layer_.weight.data(), layer_.weight.size()},
             .gradient = {layer_.grad_weight.data(), layer_.grad_weight.size()},
             .name = "fc.weight"},
            {.value = {layer_.bias.data(), layer_.bias.size()},
             .gradient = {layer_.grad_bias.data(), layer_.grad_bias.size()},
             .decays = false,
             .name = "fc.bias"}};
  }
  [[nodiscard]] double take_loss() { return std::exchange(loss_, 0.0); }
  [[nodiscard]] Classifier classifier() const { return layer_.classifier(); }

 private:
  SoftmaxLayer layer_;
  RowMatrix<float> grad_features_;
  double loss_ = 0;
};

}  // namespace

std::unique_ptr<Tuner> make_cpu_tuner(const TunerPlan& plan) { return std::make_unique<BasicTuner<CpuLayer>>(plan); }

}  // namespace swav::resnet
