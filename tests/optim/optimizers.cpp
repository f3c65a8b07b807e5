// The optimisers and the schedule against PyTorch and the release's formulas. In: tests/golden/optim.bin. Out: checks
// of trajectories, state, threads, allocations and errors.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "allocations.hpp"
#include "device_optim.hpp"
#include "golden.hpp"
#include "problems.hpp"
#include "swav/optim/schedule.hpp"

namespace {

using swav::Accumulator;
using swav::AdamWOptions;
using swav::Index;
using swav::InvalidInput;
using swav::LarcOptions;
using swav::LarsOptions;
using swav::Parameter;
using swav::RowMatrix;
using swav::SgdOptions;
using swav::StateBuffer;
using swav::warmup_cosine;
using swav::WarmupCosine;
using namespace swav::test;

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// The five parameters of the golden file in one buffer, and a gradient that advance() sets.
template <class Scalar>
struct GoldenProblem {
  GoldenProblem() : golden(load_golden("optim.bin")) {
    const RowMatrix<double>& start = golden.at("start");
    for (Index i = 0; i < start.cols(); ++i) values.push_back(cast(start(0, i)));
    gradient.resize(values.size());
  }

  std::vector<Parameter<Scalar>> parameters() {
    std::vector<Parameter<Scalar>> list;
    Scalar* at = values.data();
    const Scalar* gradient_at = gradient.data();
    const auto add = [&](std::string name, Index size, bool plain, Index frozen_steps) {
      list.push_back({{at, size}, {gradient_at, size}, !plain, !plain, std::move(name), frozen_steps});
      at += size;
      gradient_at += size;
    };
    add("decays", 6, false, 0);
    add("plain", 4, true, 0);
    add("zero", 3, false, 0);
    add("still", 5, false, 0);
    add("frozen", 4, false, 3);
    return list;
  }

  double advance(Index step) {
    const RowMatrix<double>& gradients = golden.at("gradients");
    for (Index i = 0; i < gradients.cols(); ++i) gradient[static_cast<std::size_t>(i)] = cast(gradients(step, i));
    return golden.at("rates")(0, step);
  }

  double error(const std::string& trajectory, Index step) const {
    const RowMatrix<double>& wanted = golden.at(trajectory);
    double largest = 0;
    for (Index i = 0; i < wanted.cols(); ++i) {
      const auto found = static_cast<double>(static_cast<Accumulator<Scalar>>(values[static_cast<std::size_t>(i)]));
      largest = std::max(largest, std::abs(found - wanted(step, i)));
    }
    return largest;
  }

  static Scalar cast(double value) { return static_cast<Scalar>(static_cast<Accumulator<Scalar>>(value)); }

  GoldenArrays golden;
  std::vector<Scalar> values, gradient;
};

template <class Scalar, class Optimizer, class Options>
double largest_error(const Options& options, const std::string& trajectory) {
  GoldenProblem<Scalar> problem;
  Optimizer optimizer(options, problem.parameters());
  double largest = 0;
  for (Index step = 0; step < 20; ++step) {
    const double rate = problem.advance(step);
    optimizer.step(rate);
    largest = std::max(largest, problem.error(trajectory, step));
  }
  CHECK(optimizer.steps() == 20);
  return largest;
}

const SgdOptions plain{.momentum = 0.9, .weight_decay = 0.05};
const SgdOptions adaptive{.momentum = 0.9, .weight_decay = 0.05, .larc = LarcOptions{}};
const SgdOptions adaptive_in_momentum{.momentum = 0.9, .weight_decay = 0.05, .lars = LarsOptions{}};
const AdamWOptions adamw{.weight_decay = 0.05};

/// Parameters of which one spans several blocks, with gradients that stay.
template <class Scalar>
struct LargeProblem {
  explicit LargeProblem(std::uint64_t seed) {
    Generator generator(seed);
    large = converted<Scalar>(normal_matrix(1, 50'001, generator));
    small = converted<Scalar>(normal_matrix(1, 77, generator));
    large_gradient = converted<Scalar>(normal_matrix(1, 50'001, generator));
    small_gradient = converted<Scalar>(normal_matrix(1, 77, generator));
  }
  std::vector<Parameter<Scalar>> parameters() {
    return {{{large.data(), large.size()}, {large_gradient.data(), large.size()}, true, true, "large", 0},
            {{small.data(), small.size()}, {small_gradient.data(), small.size()}, true, true, "small", 2}};
  }
  RowMatrix<Scalar> large, small, large_gradient, small_gradient;
};

}  // namespace

TEST_CASE("20 steps equal PyTorch's in double, and the release's LARC") {
  CHECK(largest_error<double, Sgd<double>>(plain, "sgd") < 1e-12);
  CHECK(largest_error<double, Sgd<double>>(adaptive, "larc") < 1e-12);
  CHECK(largest_error<double, Sgd<double>>(adaptive_in_momentum, "lars") < 1e-12);
  CHECK(largest_error<double, AdamW<double>>(adamw, "adamw") < 1e-12);
}

TEST_CASE("20 steps in float and 16-bit storage stay near those in double") {
  CHECK(largest_error<float, Sgd<float>>(plain, "sgd") < 1e-5);
  CHECK(largest_error<float, Sgd<float>>(adaptive, "larc") < 1e-5);
  CHECK(largest_error<float, Sgd<float>>(adaptive_in_momentum, "lars") < 1e-5);
  CHECK(largest_error<float, AdamW<float>>(adamw, "adamw") < 1e-5);
  CHECK(largest_error<Eigen::half, Sgd<Eigen::half>>(plain, "sgd") < 2e-2);
  CHECK(largest_error<Eigen::bfloat16, AdamW<Eigen::bfloat16>>(adamw, "adamw") < 5e-2);
}

TEST_CASE_TEMPLATE("a run that is saved and resumed equals an uninterrupted one bit for bit", Optimizer, Sgd<float>,
                   AdamW<float>) {
  const auto make = [](LargeProblem<float>& problem) {
    if constexpr (std::is_same_v<Optimizer, Sgd<float>>)
      return Optimizer(adaptive, problem.parameters());
    else
      return Optimizer(adamw, problem.parameters());
  };
  LargeProblem<float> whole(1), parted(1);
  Optimizer uninterrupted = make(whole);
  for (int step = 0; step < 6; ++step) uninterrupted.step(0.1);

  std::map<std::string, std::vector<float>> saved;
  {
    Optimizer first = make(parted);
    for (int step = 0; step < 3; ++step) first.step(0.1);
    for (const StateBuffer<float>& buffer : first.state())
      saved[buffer.name].assign(buffer.values.begin(), buffer.values.end());
  }
  Optimizer second = make(parted);
  second.set_steps(3);
  for (const StateBuffer<float>& buffer : second.state()) {
    REQUIRE(saved.at(buffer.name).size() == static_cast<std::size_t>(buffer.values.size));
    std::copy(saved.at(buffer.name).begin(), saved.at(buffer.name).end(), buffer.values.begin());
  }
  CHECK(saved.size() == second.state().size());
  for (int step = 3; step < 6; ++step) second.step(0.1);
  CHECK(identical(whole.large, parted.large));
  CHECK(identical(whole.small, parted.small));
}

TEST_CASE("the number of threads changes no bit, and a step allocates nothing") {
  LargeProblem<float> one(2), three(2);
  Sgd<float> alone(adaptive, one.parameters(), test_device(1));
  Sgd<float> together(adaptive, three.parameters(), test_device(3));
  AdamW<float> alone_adamw(adamw, one.parameters(), test_device(1));
  AdamW<float> together_adamw(adamw, three.parameters(), test_device(3));
  const long before = allocations();
  for (int step = 0; step < 3; ++step) {
    alone.step(0.1);
    together.step(0.1);
    alone_adamw.step(0.01);
    together_adamw.step(0.01);
  }
  if (counts_allocations) CHECK(allocations() == before);
  CHECK(identical(one.large, three.large));
  CHECK(identical(one.small, three.small));
}

TEST_CASE("step returns the norm of the gradients that count") {
  LargeProblem<double> problem(3);
  Sgd<double> sgd(plain, problem.parameters());
  const double large = problem.large_gradient.squaredNorm(), small = problem.small_gradient.squaredNorm();
  for (int step = 0; step < 3; ++step)
    CHECK(sgd.step(0.1) == doctest::Approx(std::sqrt(step < 2 ? large : large + small)).epsilon(1e-12));
}

TEST_CASE("a frozen parameter is left alone, whatever its gradient, and then starts") {
  LargeProblem<float> problem(4);
  const RowMatrix<float> before = problem.small;
  problem.small_gradient(0, 5) = std::numeric_limits<float>::quiet_NaN();
  AdamW<float> optimizer(adamw, problem.parameters());
  optimizer.step(0.1);
  optimizer.step(0.1);
  CHECK(identical(problem.small, before));
  problem.small_gradient(0, 5) = 1;
  optimizer.step(0.1);
  // The first step of AdamW moves every entry by the rate, decay aside.
  CHECK(std::abs(problem.small(0, 5) - before(0, 5) * (1 - 0.1f * 0.05f)) == doctest::Approx(0.1).epsilon(1e-5));
}

TEST_CASE("the schedule equals the release's list") {
  const GoldenArrays golden = load_golden("optim.bin");
  const auto check = [&](const std::string& name, const WarmupCosine& schedule) {
    const RowMatrix<double>& wanted = golden.at(name);
    REQUIRE(schedule.total_steps == wanted.cols());
    for (Index step = 0; step < schedule.total_steps; ++step)
      CHECK(warmup_cosine(schedule, step) == doctest::Approx(wanted(0, step)).epsilon(1e-14));
  };
  check("schedule", {.start = 0.3, .base = 4.8, .final = 0.0048, .warmup_steps = 10, .total_steps = 40});
  check("schedule_one", {.start = 0.3, .base = 0.6, .final = 0.0006, .warmup_steps = 1, .total_steps = 7});
  check("schedule_none", {.start = 0.3, .base = 0.6, .final = 0.0006, .warmup_steps = 0, .total_steps = 7});
  check("schedule_all", {.start = 0.3, .base = 0.6, .final = 0.0006, .warmup_steps = 5, .total_steps = 5});
}

TEST_CASE("bad schedules and steps are named") {
  const WarmupCosine good{.base = 1, .warmup_steps = 2, .total_steps = 5};
  CHECK_THROWS_AS(warmup_cosine(good, -1), InvalidInput);
  CHECK_THROWS_WITH_AS(warmup_cosine(good, 5), "step: 5 found, 0 or more and below total_steps (5) wanted",
                       InvalidInput);
  CHECK_THROWS_AS(warmup_cosine({}, 0), InvalidInput);
  CHECK_THROWS_AS(warmup_cosine({.base = -1, .total_steps = 5}, 0), InvalidInput);
  CHECK_THROWS_AS(warmup_cosine({.base = not_a_number, .total_steps = 5}, 0), InvalidInput);
  CHECK_THROWS_AS(warmup_cosine({.base = 1, .warmup_steps = 6, .total_steps = 5}, 0), InvalidInput);
  CHECK_THROWS_AS(warmup_cosine({.base = 1, .warmup_steps = -1, .total_steps = 5}, 0), InvalidInput);
}

TEST_CASE("bad options and parameter lists are named") {
  LargeProblem<float> problem(5);
  const auto sgd = [&](SgdOptions options) { Sgd<float>(options, problem.parameters()); };
  CHECK_THROWS_WITH_AS(sgd({.momentum = 1}), "momentum: 1 found, a number in [0, 1) wanted", InvalidInput);
  CHECK_THROWS_AS(sgd({.momentum = -0.1}), InvalidInput);
  CHECK_THROWS_AS(sgd({.momentum = not_a_number}), InvalidInput);
  CHECK_THROWS_AS(sgd({.weight_decay = -1}), InvalidInput);
  CHECK_THROWS_AS(sgd({.weight_decay = infinity}), InvalidInput);
  CHECK_THROWS_AS(sgd({.larc = LarcOptions{.trust_coefficient = 0}}), InvalidInput);
  CHECK_THROWS_AS(sgd({.larc = LarcOptions{.epsilon = -1}}), InvalidInput);
  CHECK_THROWS_AS(sgd({.lars = LarsOptions{.trust_coefficient = 0}}), InvalidInput);
  CHECK_THROWS_WITH_AS(sgd({.larc = LarcOptions{}, .lars = LarsOptions{}}),
                       "lars: found beside larc, one of them wanted", InvalidInput);
  const auto adam = [&](AdamWOptions options) { AdamW<float>(options, problem.parameters()); };
  CHECK_THROWS_AS(adam({.first_decay = 1}), InvalidInput);
  CHECK_THROWS_AS(adam({.second_decay = not_a_number}), InvalidInput);
  CHECK_THROWS_AS(adam({.epsilon = 0}), InvalidInput);
  CHECK_THROWS_AS(adam({.weight_decay = -1}), InvalidInput);

  const auto list = [](std::vector<Parameter<float>> parameters) { Sgd<float>({}, std::move(parameters)); };
  CHECK_THROWS_AS(list({}), InvalidInput);
  std::vector<Parameter<float>> bad = problem.parameters();
  bad[1].name = "large";
  CHECK_THROWS_AS(list(bad), InvalidInput);
  bad = problem.parameters();
  bad[0].gradient.size -= 1;
  CHECK_THROWS_AS(list(bad), InvalidInput);
  bad = problem.parameters();
  bad[0].value.size = bad[0].gradient.size = 0;
  CHECK_THROWS_AS(list(bad), InvalidInput);
  bad = problem.parameters();
  bad[0].frozen_steps = -1;
  CHECK_THROWS_AS(list(bad), InvalidInput);
}

TEST_CASE("a bad rate or gradient changes nothing") {
  LargeProblem<float> problem(6);
  const RowMatrix<float> before = problem.large;
  Sgd<float> sgd(adaptive, problem.parameters());
  AdamW<float> adam(adamw, problem.parameters());
  for (const double rate : {-1.0, not_a_number, infinity}) {
    CHECK_THROWS_AS(sgd.step(rate), InvalidInput);
    CHECK_THROWS_AS(adam.step(rate), InvalidInput);
  }
  for (const double bad : {not_a_number, infinity, -infinity}) {
    problem.large_gradient(0, 49'999) = static_cast<float>(bad);
    const char* const message = waits_for_results
                                    ? "gradient of 'large': a value that is not finite found, finite values wanted"
                                    : "optimiser: a gradient, or a value that LARC or LARS measures, with a NaN or "
                                      "infinite entry found, finite values wanted";
    CHECK_THROWS_WITH_AS(sgd.step(0.1), message, InvalidInput);
    CHECK_THROWS_AS(adam.step(0.1), InvalidInput);
  }
  CHECK(identical(problem.large, before));
  CHECK(sgd.steps() == 0);
  CHECK(sgd.state().front().values[0] == 0);
  CHECK_THROWS_AS(sgd.set_steps(-1), InvalidInput);
}
