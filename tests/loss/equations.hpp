// Problems of the loss, the equations written out, and how a step is compared with them. In: shapes, a seed. Out:
// embeddings, prototypes, the step that is wanted.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "device_loss.hpp"
#include "problems.hpp"
#include "tolerance.hpp"

namespace swav::test {

/// Embeddings (views B) x D that agree between views up to noise, of lengths 0.2 to 4, and unit prototypes.
struct Problem {
  RowMatrix<double> z, c;
  Index views = 2;
};

inline Problem make_problem(Index samples, Index prototypes, Index dimension, Index views, std::uint64_t seed) {
  Generator generator(seed);
  std::uniform_real_distribution<double> length(0.2, 4);
  Problem problem;
  problem.views = views;
  const RowMatrix<double> content = normal_matrix(samples, dimension, generator);
  problem.z = (content.replicate(views, 1) + 0.5 * normal_matrix(views * samples, dimension, generator)).eval();
  for (Index r = 0; r < problem.z.rows(); ++r) problem.z.row(r) *= length(generator);
  problem.c = unit_rows(normal_matrix(prototypes, dimension, generator));
  return problem;
}

template <class Scalar>
Problem rounded(Problem problem) {
  problem.z = swav::test::rounded<Scalar>(problem.z);
  problem.c = swav::test::rounded<Scalar>(problem.c);
  return problem;
}

template <class Scalar, class Device = TestDevice>
auto run(const Problem& problem, const SwappedPredictionOptions& options, Device device = {}) {
  const PrototypeBank<Scalar, Device> bank(converted<Scalar>(problem.c), device);
  SwappedPredictionLoss<Scalar, Device> loss(options, device);
  return loss(converted<Scalar>(problem.z), bank, problem.views);
}

/// Scores of `count` rows of the embeddings.
inline RowMatrix<double> scores_of(const Problem& problem, const SwappedPredictionOptions& options, Index first,
                                   Index count) {
  const RowMatrix<double> z = problem.z.middleRows(first, count);
  return (options.embeddings == Embeddings::raw ? unit_rows(z) : z) *
         (options.prototypes == Prototypes::raw ? unit_rows(problem.c) : problem.c).transpose();
}

/// The equations written out, every matrix in full, in double. `codes`: those of each view of crops_for_assign.
inline SwappedPredictionStep<double, EigenDevice> reference(const Problem& problem,
                                                            const SwappedPredictionOptions& options,
                                                            const std::vector<RowMatrix<double>>& codes) {
  const Index views = problem.views, samples = problem.z.rows() / views, prototypes = problem.c.rows();
  const RowMatrix<double> z = options.embeddings == Embeddings::raw ? unit_rows(problem.z) : problem.z;
  const RowMatrix<double> c = options.prototypes == Prototypes::raw ? unit_rows(problem.c) : problem.c;
  const RowMatrix<double> scores = z * c.transpose();
  RowMatrix<double> probabilities = (scores / options.temperature).array().exp().matrix();
  for (Index r = 0; r < scores.rows(); ++r) probabilities.row(r) /= probabilities.row(r).sum();

  SwappedPredictionStep<double, EigenDevice> step;
  std::set<Index> used;
  RowMatrix<double> grad_logits = RowMatrix<double>::Zero(scores.rows(), prototypes);
  const double assigned = static_cast<double>(options.crops_for_assign.size());
  const double weight = 1.0 / (assigned * static_cast<double>((views - 1) * samples));
  for (std::size_t place = 0; place < codes.size(); ++place) {
    const int i = options.crops_for_assign[place];
    const RowMatrix<double>& q = codes[place];
    for (Index b = 0; b < samples; ++b) {
      Index largest = 0;
      q.row(b).maxCoeff(&largest);
      used.insert(largest);
      for (Index k = 0; k < prototypes; ++k)
        if (q(b, k) > 0) step.codes_entropy -= q(b, k) * std::log(q(b, k)) / (assigned * static_cast<double>(samples));
    }
    for (Index v = 0; v < views; ++v) {
      if (v == i) continue;
      const RowMatrix<double> p = probabilities.middleRows(v * samples, samples);
      step.value -= weight * q.cwiseProduct(p.array().log().matrix()).sum();
      grad_logits.middleRows(v * samples, samples) += weight * (p - q);
    }
  }
  step.prototypes_used = static_cast<Index>(used.size());
  step.grad_embeddings = grad_logits * c / options.temperature;
  step.grad_prototypes = grad_logits.transpose() * z / options.temperature;
  const auto through_normalization = [](const RowMatrix<double>& raw, const RowMatrix<double>& unit,
                                        RowMatrix<double>& g) {
    for (Index r = 0; r < raw.rows(); ++r)
      g.row(r) = (g.row(r) - g.row(r).dot(unit.row(r)) * unit.row(r)).eval() / raw.row(r).norm();
  };
  if (options.embeddings == Embeddings::raw) through_normalization(problem.z, z, step.grad_embeddings);
  if (options.prototypes == Prototypes::raw) through_normalization(problem.c, c, step.grad_prototypes);
  return step;
}

/// With the codes of each view's own scores.
inline SwappedPredictionStep<double, EigenDevice> reference(const Problem& problem,
                                                            const SwappedPredictionOptions& options) {
  const Index samples = problem.z.rows() / problem.views;
  std::vector<RowMatrix<double>> codes;
  for (const int i : options.crops_for_assign)
    codes.push_back(swav::Sinkhorn<double>(options.sinkhorn).codes(scores_of(problem, options, i * samples, samples)));
  return reference(problem, options, codes);
}

/// Where scores are stored as halves, those of unit rows are right to 2^-12, which is 0.5 % of a code at epsilon 0.05.
template <class Scalar>
inline constexpr double gradient_tolerance =
    (scores_are_halves && std::is_same_v<Scalar, Eigen::half> ? 4 : 1) * Tolerance<Scalar>::gradient;

/// Gradients are compared relative to their largest entry, but not below a tenth of 1/(tau B), the size of the terms of
/// which they are differences: all of a gradient may vanish.
template <class Scalar, class Device, class Wanted>
void check_step(const SwappedPredictionStep<Scalar, Device>& found,
                const SwappedPredictionStep<Wanted, EigenDevice>& wanted, const Problem& problem,
                const SwappedPredictionOptions& options) {
  CHECK(found.value == doctest::Approx(wanted.value).epsilon(Tolerance<Scalar>::value));
  const double terms =
      static_cast<double>(problem.views) / (options.temperature * static_cast<double>(problem.z.rows()));
  const auto check_gradient = [&](const RowMatrix<Scalar>& gradient, const RowMatrix<Wanted>& expected) {
    CHECK(largest_difference(gradient, expected) <=
          gradient_tolerance<Scalar> * std::max(0.1 * terms, largest_entry(expected)));
  };
  check_gradient(found.grad_embeddings, wanted.grad_embeddings);
  check_gradient(found.grad_prototypes, wanted.grad_prototypes);
  CHECK(std::abs(found.codes_entropy - wanted.codes_entropy) <= 100 * Tolerance<Scalar>::codes);
}

template <class Scalar, class Device>
bool identical_steps(const SwappedPredictionStep<Scalar, Device>& a, const SwappedPredictionStep<Scalar, Device>& b) {
  return a.value == b.value && a.codes_entropy == b.codes_entropy && a.prototypes_used == b.prototypes_used &&
         identical(a.grad_embeddings, b.grad_embeddings) && identical(a.grad_prototypes, b.grad_prototypes);
}

}  // namespace swav::test
