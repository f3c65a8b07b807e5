// The linear classifier on frozen features, free of any backend. In: features and labels. Out: predictions, accuracy.
// Users include swav/evaluate/linear_probe.hpp, which adds the CPU backend.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/philox.hpp"
#include "swav/core/row_passes.hpp"
#include "swav/evaluate/labels.hpp"
#include "swav/evaluate/lbfgs.hpp"
#include "swav/evaluate/passes.hpp"
#include "swav/optim/basic_sgd.hpp"
#include "swav/optim/schedule.hpp"

namespace swav {

enum class ProbeSolver {
  lbfgs,  ///< full batches, to the optimum: fast, no rate to choose
  sgd,    ///< as the SwAV release evaluates: momentum .9, a rate that falls by half a cosine, a value an epoch
};

/// L-BFGS minimises the mean cross-entropy + weight_decay |W|^2, the bias left out; history 10, strong Wolfe.
struct ProbeLbfgs {
  double weight_decay = 1e-4;
  int max_iterations = 100;
};

/// SGD starts from W ~ N(0, .01^2) and a bias of 0; weight decay applies to both.
struct ProbeSgd {
  double learning_rate = 0.3;
  double weight_decay = 1e-6;
  int epochs = 100;
  Index batch_size = 256;
};

struct LinearProbeOptions {
  ProbeSolver solver = ProbeSolver::lbfgs;
  bool standardize = true;  ///< to mean 0 and deviation 1 (+ 1e-5) over the train rows; the release uses false
  ProbeLbfgs lbfgs = {};
  ProbeSgd sgd = {};
  std::uint64_t seed = 0;  ///< of SGD's start and order
};

/// How a fit went.
struct ProbeFit {
  double loss = 0;         ///< L-BFGS: what it minimised. SGD: the last epoch's mean cross-entropy
  int iterations = 0;      ///< L-BFGS: iterations. SGD: epochs
  bool converged = false;  ///< L-BFGS: stopped by a tolerance before max_iterations. SGD: always
};

/// Scores of classes that are linear in the features: weights x + biases.
struct LinearScores {
  Index classes = 0;
  std::vector<double> weights = {};  ///< classes x D, row-major
  std::vector<double> biases = {};
};

/// Multinomial logistic regression on features that stay as they are. Holds a copy of the train features while it fits.
/// Time O(iterations x n x D x classes). The result does not depend on the number of threads.
template <std::floating_point Scalar, class Device = EigenDevice>
class LinearProbe {
 public:
  using Matrix = typename Device::template Matrix<Scalar>;

  /// Throws InvalidInput on options out of range.
  explicit LinearProbe(LinearProbeOptions options = {}, Device device = Device{})
      : options_(checked(options)), device_(std::move(device)) {}

  /// Fits to features (n x D) with a label, 0 or more, a row. Throws InvalidInput on other shapes and on entries that
  /// are not finite; the earlier fit then stays.
  ProbeFit fit(MatrixView<const Scalar> features, VectorView<const int> labels) {
    detail::check_view("train_features", features);
    detail::require(features.rows >= 1 && features.cols >= 1, "train_features: ", features.rows, " x ", features.cols,
                    " found, 1 row and 1 column or more wanted");
    const int classes = detail::check_labels("train_labels", labels, features.rows);
    std::vector<double> mean(static_cast<std::size_t>(features.cols));
    std::vector<double> scale(static_cast<std::size_t>(features.cols));
    const bool finite = ProbePasses<Device>::template moments<Scalar>(device_, features, mean.data(), scale.data());
    detail::require(finite,
                    "train_features: a value that is not finite, or whose square is not, found; finite ones wanted");
    for (std::size_t c = 0; c < scale.size(); ++c) {
      scale[c] = options_.standardize ? 1 / (scale[c] + 1e-5) : 1.0;
      if (!options_.standardize) mean[c] = 0;
    }

    constexpr Index line = 16;  // whole vectors a row
    Matrix design(features.rows, (features.cols + 1 + line - 1) / line * line);
    ProbePasses<Device>::template design<Scalar>(device_, features, mean.data(), scale.data(), design);
    Matrix weights(classes, MatrixView<const Scalar>(design).cols);
    const ProbeFit result = options_.solver == ProbeSolver::lbfgs ? fit_lbfgs(design, labels, features.cols, weights)
                                                                  : fit_sgd(design, labels, features.cols, weights);
    mean_ = std::move(mean);
    scale_ = std::move(scale);
    weights_ = std::move(weights);
    return result;
  }

  /// A class for each row, by the last fit. Throws InvalidInput before the first fit, unless features are m x D with
  /// m >= 1 and the fit's D, and on entries that are not finite.
  [[nodiscard]] std::vector<int> predict(MatrixView<const Scalar> features) const {
    detail::require(!mean_.empty(), "predict: no fit found, fit() wanted first");
    detail::check_view("features", features);
    detail::require(features.rows >= 1 && features.cols == static_cast<Index>(mean_.size()),
                    "features: ", features.rows, " x ", features.cols, " found, 1 row or more x ", mean_.size(),
                    " wanted");
    std::vector<int> predictions(static_cast<std::size_t>(features.rows));
    const bool finite = ProbePasses<Device>::template predict<Scalar>(device_, features, mean_.data(), scale_.data(),
                                                                      weights_, predictions.data());
    detail::require(finite,
                    "features: a value that is not finite, or gives no finite score, found, finite values wanted");
    return predictions;
  }

  /// The last fit as scores of features as they are, the standardisation being part of weights and biases: another
  /// program's linear layer. Throws InvalidInput before the first fit.
  [[nodiscard]] LinearScores scores() const {
    detail::require(!mean_.empty(), "scores: no fit found, fit() wanted first");
    const MatrixView<const Scalar> weights(weights_);
    std::vector<Scalar> host(static_cast<std::size_t>(weights.size()));
    const MatrixView<Scalar> fitted(host.data(), weights.rows, weights.cols);
    RowPasses<Device>::copy_out(device_, weights, fitted);
    const auto dimension = static_cast<Index>(mean_.size());
    LinearScores result{.classes = fitted.rows};
    for (Index k = 0; k < fitted.rows; ++k) {
      double bias = static_cast<double>(fitted(k, dimension));
      for (Index c = 0; c < dimension; ++c) {
        const auto i = static_cast<std::size_t>(c);
        result.weights.push_back(static_cast<double>(fitted(k, c)) * scale_[i]);
        bias -= result.weights.back() * mean_[i];
      }
      result.biases.push_back(bias);
    }
    return result;
  }

  /// The part of the rows whose predicted class is their label, in [0, 1], by the last fit.
  [[nodiscard]] double accuracy(MatrixView<const Scalar> features, VectorView<const int> labels) const {
    detail::check_labels("labels", labels, features.rows);
    return swav::accuracy(predict(features), labels);
  }

  /// Fits to the train rows, then the accuracy on the test rows.
  [[nodiscard]] double accuracy(MatrixView<const Scalar> train_features, VectorView<const int> train_labels,
                                MatrixView<const Scalar> test_features, VectorView<const int> test_labels) {
    detail::require(test_features.rows >= 1 && test_features.cols == train_features.cols,
                    "test_features: ", test_features.rows, " x ", test_features.cols, " found, 1 row or more x ",
                    train_features.cols, " wanted");
    detail::check_labels("test_labels", test_labels, test_features.rows);
    fit(train_features, train_labels);
    return accuracy(test_features, test_labels);
  }

 private:
  using Passes = ProbePasses<Device>;
  using Workspace = typename Passes::template Workspace<Scalar>;

  static LinearProbeOptions checked(const LinearProbeOptions& options) {
    detail::require(std::isfinite(options.lbfgs.weight_decay) && options.lbfgs.weight_decay >= 0,
                    "lbfgs.weight_decay: ", options.lbfgs.weight_decay,
                    " found, a finite number that is 0 or more wanted");
    detail::require(options.lbfgs.max_iterations >= 1, "lbfgs.max_iterations: ", options.lbfgs.max_iterations,
                    " found, 1 or more wanted");
    detail::require(std::isfinite(options.sgd.learning_rate) && options.sgd.learning_rate > 0,
                    "sgd.learning_rate: ", options.sgd.learning_rate, " found, a finite number above 0 wanted");
    detail::require(std::isfinite(options.sgd.weight_decay) && options.sgd.weight_decay >= 0,
                    "sgd.weight_decay: ", options.sgd.weight_decay, " found, a finite number that is 0 or more wanted");
    detail::require(options.sgd.epochs >= 1, "sgd.epochs: ", options.sgd.epochs, " found, 1 or more wanted");
    detail::require(options.sgd.batch_size >= 1, "sgd.batch_size: ", options.sgd.batch_size,
                    " found, 1 or more wanted");
    return options;
  }

  /// `bias` is the column of ones in the design.
  ProbeFit fit_lbfgs(MatrixView<const Scalar> design, VectorView<const int> labels, Index bias,
                     MatrixView<Scalar> weights) const {
    Workspace workspace;
    const double penalty = options_.lbfgs.weight_decay;
    std::vector<Scalar> rounded;
    const auto copy = [&](std::span<const double> x) { copy_in(x, rounded, weights); };
    auto objective = [&](std::span<const double> x, std::span<double> gradient) {
      copy(x);
      double value =
          Passes::template cross_entropy<Scalar>(device_, design, labels, {}, weights, gradient.data(), workspace);
      for (Index k = 0; k < weights.rows; ++k)
        for (Index c = 0; c < bias; ++c) {
          const auto i = static_cast<std::size_t>(k * weights.cols + c);
          value += penalty * x[i] * x[i];
          gradient[i] += 2 * penalty * x[i];
        }
      return value;
    };
    std::vector<double> x(static_cast<std::size_t>(weights.size()));
    const detail::LbfgsResult found =
        detail::minimize_lbfgs(objective, x, {.max_iterations = options_.lbfgs.max_iterations});
    copy(x);
    return {found.value, found.iterations, found.converged};
  }

  ProbeFit fit_sgd(MatrixView<const Scalar> design, VectorView<const int> labels, Index bias,
                   MatrixView<Scalar> weights) const {
    PhiloxStream random(options_.seed, 0);
    std::vector<double> sums(static_cast<std::size_t>(weights.size()));
    std::vector<Scalar> rounded;
    for (std::size_t i = 0; i < sums.size(); ++i)
      sums[i] = static_cast<Index>(i) % weights.cols < bias ? 0.01 * normal(random) : 0.0;
    copy_in(sums, rounded, weights);

    Matrix gradient(weights.rows, weights.cols);
    std::vector<Parameter<Scalar>> parameters;
    parameters.push_back(
        {.value = {weights.data, weights.size()}, .gradient = {gradient.data(), weights.size()}, .name = "weights"});
    Sgd<Scalar, Device> sgd({.momentum = 0.9, .weight_decay = options_.sgd.weight_decay}, parameters, device_);
    std::vector<Index> order(static_cast<std::size_t>(design.rows));
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<Index>(i);
    const auto batch = static_cast<std::size_t>(options_.sgd.batch_size);
    const WarmupCosine schedule{.base = options_.sgd.learning_rate, .total_steps = options_.sgd.epochs};
    Workspace workspace;
    double loss = 0;
    for (int epoch = 0; epoch < options_.sgd.epochs; ++epoch) {
      for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
      const double rate = warmup_cosine(schedule, epoch);
      loss = 0;
      for (std::size_t first = 0; first < order.size(); first += batch) {
        const std::span<const Index> rows =
            std::span<const Index>(order).subspan(first, std::min(batch, order.size() - first));
        loss += static_cast<double>(rows.size()) *
                Passes::template cross_entropy<Scalar>(device_, design, labels, rows, weights, sums.data(), workspace);
        copy_in(sums, rounded, gradient);
        sgd.step(rate);
      }
    }
    return {loss / static_cast<double>(order.size()), options_.sgd.epochs, true};
  }

  /// Numbers of the host into a matrix of the device, by way of `rounded`.
  void copy_in(std::span<const double> values, std::vector<Scalar>& rounded, MatrixView<Scalar> to) const {
    rounded.resize(values.size());
    std::transform(values.begin(), values.end(), rounded.begin(),
                   [](double value) { return static_cast<Scalar>(value); });
    RowPasses<Device>::copy_in(device_, MatrixView<const Scalar>(rounded.data(), to.rows, to.cols), to);
  }

  /// Standard normal, by Box and Muller.
  static double normal(PhiloxStream& random) {
    const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
    return radius * std::cos(2 * std::numbers::pi * random.uniform());
  }

  LinearProbeOptions options_;
  Device device_;
  std::vector<double> mean_;
  std::vector<double> scale_;
  Matrix weights_;
};

}  // namespace swav
