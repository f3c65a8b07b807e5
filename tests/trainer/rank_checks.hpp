// How tests of ranks compare a learner with one of whole batches. In: states. Out: checks.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "train/learner.hpp"

namespace swav::test {

using Values = std::vector<std::vector<float>>;

inline Values values_of(resnet::Learner& learner) {
  Values values;
  for (const resnet::StateTensor& tensor : learner.state())
    values.emplace_back(tensor.value.begin(), tensor.value.end());
  return values;
}

// Moments are sums of gradients, in which a ReLU at its edge may be the one thing or the other.
inline void check_state(resnet::Learner& learner, const Values& expected) {
  const std::vector<resnet::StateTensor> state = learner.state();
  REQUIRE(state.size() == expected.size());
  for (std::size_t t = 0; t < state.size(); ++t) {
    const std::string& name = state[t].name;
    if (name.find("projection_head.0.bias") != std::string::npos) continue;  // its gradient is rounding alone
    CAPTURE(name);
    double difference = 0, all = 0;
    for (std::size_t i = 0; i < expected[t].size(); ++i) {
      const auto wanted = static_cast<double>(expected[t][i]);
      difference += std::pow(static_cast<double>(state[t].value[i]) - wanted, 2);
      all += wanted * wanted;
    }
    const bool moves_alone = name.starts_with("optimizer.") || name.ends_with(".bias");  // biases start at 0
    CHECK(std::sqrt(difference) <= (moves_alone ? 0.1 : 1e-3) * std::sqrt(all));
  }
}

/// The measurements of a step of all ranks against those of one learner: the loss to `tolerance`, the others to ten
/// times that.
inline void check_metrics(const resnet::StepMetrics& found, const resnet::StepMetrics& expected, double tolerance) {
  CHECK(found.loss == doctest::Approx(expected.loss).epsilon(tolerance));
  CHECK(found.code_entropy == doctest::Approx(expected.code_entropy).epsilon(10 * tolerance));
  CHECK(found.prototypes_used == expected.prototypes_used);
  CHECK(found.feature_spread == doctest::Approx(expected.feature_spread).epsilon(10 * tolerance));
}

}  // namespace swav::test
