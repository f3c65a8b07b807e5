// The evaluation on the device that a test is built for, with host memory on both sides. In: SWAV_TEST_THRUST or
// SWAV_TEST_CUDA. Out: swav::test::KnnClassifier, LinearProbe, spread_of and assignments_of.
#pragma once

#include <vector>

#include "swav/evaluate/knn.hpp"
#include "swav/evaluate/linear_probe.hpp"
#include "swav/evaluate/statistics.hpp"
#include "test_device.hpp"
#ifdef SWAV_TEST_THRUST
#include "swav/backend/thrust/knn_passes.hpp"
#include "swav/backend/thrust/optim_passes.hpp"
#include "swav/backend/thrust/probe_passes.hpp"
#include "swav/backend/thrust/row_passes.hpp"
#include "swav/backend/thrust/statistics_passes.hpp"
#endif

namespace swav::test {

#ifndef SWAV_TEST_CUDA

template <class Scalar>
using KnnClassifier = swav::KnnClassifier<Scalar, TestDevice>;
template <class Scalar>
using LinearProbe = swav::LinearProbe<Scalar, TestDevice>;
template <class Scalar>
double spread_of(MatrixView<const Scalar> features) {
  return swav::feature_spread<Scalar>(features, TestDevice());
}
template <class Scalar>
std::vector<int> assignments_of(MatrixView<const Scalar> embeddings, MatrixView<const Scalar> prototypes) {
  return swav::assign_prototypes<Scalar>(embeddings, prototypes, TestDevice());
}

#else

template <class Scalar>
class KnnClassifier {
  using View = MatrixView<const Scalar>;
  using Labels = VectorView<const int>;

 public:
  explicit KnnClassifier(KnnOptions options = {}, CudaDevice device = {}) : base_(options, device) {}
  [[nodiscard]] std::vector<int> predict(View train, Labels labels, View test) const {
    Copies copies;
    return base_.predict(copies(train), labels, copies(test));
  }
  [[nodiscard]] double accuracy(View train, Labels labels, View test, Labels test_labels) const {
    Copies copies;
    return base_.accuracy(copies(train), labels, copies(test), test_labels);
  }

 private:
  swav::KnnClassifier<Scalar, CudaDevice> base_;
};

template <class Scalar>
class LinearProbe {
  using View = MatrixView<const Scalar>;
  using Labels = VectorView<const int>;

 public:
  explicit LinearProbe(LinearProbeOptions options = {}, CudaDevice device = {}) : base_(options, device) {}
  ProbeFit fit(View features, Labels labels) {
    Copies copies;
    return base_.fit(copies(features), labels);
  }
  [[nodiscard]] std::vector<int> predict(View features) const {
    Copies copies;
    return base_.predict(copies(features));
  }
  [[nodiscard]] LinearScores scores() const { return base_.scores(); }
  [[nodiscard]] double accuracy(View features, Labels labels) const {
    Copies copies;
    return base_.accuracy(copies(features), labels);
  }
  [[nodiscard]] double accuracy(View train, Labels labels, View test, Labels test_labels) {
    Copies copies;
    return base_.accuracy(copies(train), labels, copies(test), test_labels);
  }

 private:
  swav::LinearProbe<Scalar, CudaDevice> base_;
};

template <class Scalar>
double spread_of(MatrixView<const Scalar> features) {
  Copies copies;
  return swav::feature_spread<Scalar>(copies(features), TestDevice());
}
template <class Scalar>
std::vector<int> assignments_of(MatrixView<const Scalar> embeddings, MatrixView<const Scalar> prototypes) {
  Copies copies;
  return swav::assign_prototypes<Scalar>(copies(embeddings), copies(prototypes), TestDevice());
}

#endif

}  // namespace swav::test
