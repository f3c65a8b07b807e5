// A linear layer under softmax cross-entropy, on Eigen. In: features, labels. Out: loss, gradients, predictions.
#pragma once

#include <cmath>
#include <vector>

#include "export/classifier.hpp"
#include "swav/backend/eigen/device.hpp"

namespace swav::resnet {

/// scores = features W^T + b.
class SoftmaxLayer {
 public:
  explicit SoftmaxLayer(const Classifier& start)
      : weight(Eigen::Map<const RowMatrix<float>>(start.weight.data(), start.classes, start.features)),
        bias(Eigen::Map<const Eigen::RowVectorXf>(start.bias.data(), start.classes)),
        grad_weight(start.classes, start.features),
        grad_bias(start.classes) {}

  /// The mean cross-entropy of the rows (n x D) with their labels; overwrites grad_weight, grad_bias and the gradient
  /// of the features.
  double step(MatrixView<const float> features, VectorView<const int> labels, RowMatrix<float>& grad_features) {
    const auto rows = detail::as_eigen(features);
    scores_.noalias() = rows * weight.transpose();
    scores_.rowwise() += bias;
    double loss = 0;
    for (Index r = 0; r < scores_.rows(); ++r) {
      auto row = scores_.row(r);
      const int label = labels[r];
      row.array() -= row.maxCoeff();
      const float own = row(label);
      row = row.array().exp();
      const float sum = row.sum();
      loss += std::log(static_cast<double>(sum)) - static_cast<double>(own);
      row /= sum;
      row(label) -= 1;
    }
    const auto n = static_cast<double>(scores_.rows());
    scores_ *= static_cast<float>(1 / n);
    grad_weight.noalias() = scores_.transpose() * rows;
    grad_bias = scores_.colwise().sum();
    grad_features.noalias() = scores_ * weight;
    return loss / n;
  }

  /// The class of largest score, the lowest of equals.
  [[nodiscard]] std::vector<int> predict(MatrixView<const float> features) const {
    std::vector<int> classes;
    for (Index r = 0; r < features.rows; ++r) {
      Index best = 0;
      const Eigen::RowVectorXf scores = detail::as_eigen(features.middle_rows(r, 1)) * weight.transpose() + bias;
      scores.maxCoeff(&best);
      classes.push_back(static_cast<int>(best));
    }
    return classes;
  }

  [[nodiscard]] Classifier classifier() const {
    return {weight.rows(),
            weight.cols(),
            {weight.data(), weight.data() + weight.size()},
            {bias.data(), bias.data() + bias.size()}};
  }

  RowMatrix<float> weight;
  Eigen::RowVectorXf bias;
  RowMatrix<float> grad_weight;
  Eigen::RowVectorXf grad_bias;

 private:
  RowMatrix<float> scores_;
};

}  // namespace swav::resnet
