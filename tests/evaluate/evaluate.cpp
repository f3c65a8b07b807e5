// The evaluation against PyTorch on a small problem. In: tests/golden/evaluate.bin. Out: checks of predictions, losses,
// statistics, threads and errors.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "device_evaluate.hpp"
#include "golden.hpp"
#include "problems.hpp"
#include "scalars.hpp"

namespace {

using swav::accuracy;
using swav::Index;
using swav::InvalidInput;
using swav::KnnOptions;
using swav::LinearProbeOptions;
using swav::MatrixView;
using swav::ProbeFit;
using swav::ProbeSolver;
using swav::prototype_usage;
using swav::PrototypeUsage;
using swav::RowMatrix;
using swav::VectorView;
using namespace swav::test;

std::vector<int> integers(const RowMatrix<double>& row) {
  return std::vector<int>(row.data(), row.data() + row.size());
}

template <class Scalar>
struct Problem {
  GoldenArrays golden = load_golden("evaluate.bin");
  RowMatrix<Scalar> train = converted<Scalar>(golden.at("train"));
  RowMatrix<Scalar> test = converted<Scalar>(golden.at("test"));
  std::vector<int> train_labels = integers(golden.at("train_labels"));
  std::vector<int> test_labels = integers(golden.at("test_labels"));

  [[nodiscard]] std::vector<int> wanted(const std::string& name) const { return integers(golden.at(name)); }
  [[nodiscard]] double wanted_accuracy(const std::string& name) const { return accuracy(wanted(name), test_labels); }
};

/// Many rows of few classes, so that several blocks and groups are used.
struct LargeProblem {
  explicit LargeProblem(Index rows, Index dimension = 20) : features(rows, dimension) {
    Generator generator(7);
    const RowMatrix<double> noise = normal_matrix(rows, dimension, generator);
    const RowMatrix<double> centres = normal_matrix(7, dimension, generator);
    for (Index r = 0; r < rows; ++r) {
      labels.push_back(static_cast<int>(r * r % 7));
      features.row(r) = (noise.row(r) + centres.row(labels.back())).cast<float>();
    }
  }
  RowMatrix<float> features;
  std::vector<int> labels;
};

template <class Scalar>
RowMatrix<Scalar> with_entry(RowMatrix<Scalar> m, double value) {
  m(m.rows() - 1, m.cols() / 2) = static_cast<Scalar>(value);
  return m;
}

const double bad_values[] = {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity()};

}  // namespace

TEST_CASE_TEMPLATE("k-NN predicts what PyTorch does", Scalar, SWAV_WIDE_SCALARS) {
  const Problem<Scalar> problem;
  const auto check = [&](const std::string& name, KnnOptions options) {
    const KnnClassifier<Scalar> knn(options);
    CHECK(knn.predict(problem.train, problem.train_labels, problem.test) == problem.wanted(name));
    CHECK(knn.accuracy(problem.train, problem.train_labels, problem.test, problem.test_labels) ==
          problem.wanted_accuracy(name));
  };
  check("knn_20", {});
  check("knn_5", {.neighbors = 5, .temperature = 0.01});
  check("knn_1", {.neighbors = 1});
  check("knn_all", {.neighbors = 150, .temperature = 1.0});
}

TEST_CASE("k-NN over many blocks equals a plain loop, for any number of threads") {
  const LargeProblem problem(2500);
  const MatrixView<const float> train = MatrixView<const float>(problem.features).middle_rows(0, 2200);
  const MatrixView<const float> test = MatrixView<const float>(problem.features).middle_rows(2200, 300);
  const VectorView<const int> labels(problem.labels.data(), 2200);
  std::vector<int> wanted;
  const RowMatrix<double> unit = unit_rows(problem.features.cast<double>());
  for (Index t = 2200; t < 2500; ++t) {
    std::vector<std::pair<double, Index>> order;
    for (Index r = 0; r < 2200; ++r) order.emplace_back(-unit.row(t).dot(unit.row(r)), r);
    std::sort(order.begin(), order.end());
    std::vector<double> votes(7);
    for (std::size_t i = 0; i < 20; ++i)
      votes[static_cast<std::size_t>(problem.labels[static_cast<std::size_t>(order[i].second)])] +=
          std::exp(-order[i].first / 0.07);
    wanted.push_back(static_cast<int>(std::max_element(votes.begin(), votes.end()) - votes.begin()));
  }
  for (const int threads : {1, 2, 5})
    CHECK(KnnClassifier<float>({}, test_device(threads)).predict(train, labels, test) == wanted);
}

TEST_CASE("k-NN: a small temperature, equal votes and a row of zeros are no trouble") {
  const RowMatrix<float> train{{1, 0}, {1, 0}, {0, 1}, {0, 1}};
  const RowMatrix<float> test{{2, 0}, {0, 3}, {1, 1}, {0, 0}};
  const std::vector<int> labels{4, 4, 2, 2};
  CHECK(KnnClassifier<float>({.neighbors = 4, .temperature = 1e-4}).predict(train, labels, test) ==
        std::vector<int>{4, 2, 2, 2});
}

TEST_CASE("the linear probe's scores, as a linear layer of features as they are, give its predictions") {
  const LargeProblem problem(400, 9);
  RowMatrix<float> features = problem.features * 3;
  features.col(2).array() += 50;
  for (const bool standardize : {true, false}) {
    LinearProbe<float> probe({.standardize = standardize});
    CHECK_THROWS_AS(probe.scores(), InvalidInput);
    probe.fit(features, problem.labels);
    const swav::LinearScores scores = probe.scores();
    REQUIRE(scores.classes == 5);  // squares modulo 7 end with 4
    const Eigen::Map<const RowMatrix<double>> weights(scores.weights.data(), 5, 9);
    const Eigen::Map<const Eigen::RowVectorXd> biases(scores.biases.data(), 5);
    std::vector<int> predictions;
    for (Index r = 0; r < features.rows(); ++r) {
      Index best = 0;
      (features.row(r).cast<double>() * weights.transpose() + biases).maxCoeff(&best);
      predictions.push_back(static_cast<int>(best));
    }
    CHECK(predictions == probe.predict(features));
  }
}

TEST_CASE("L-BFGS reaches known minima") {
  // Rosenbrock's valley in pairs of unknowns: the minimum is 0 at (1, 1, ...).
  auto valley = [](std::span<const double> x, std::span<double> gradient) {
    double value = 0;
    for (std::size_t i = 0; i < x.size(); i += 2) {
      const double off = x[i + 1] - x[i] * x[i];
      value += 100 * off * off + (1 - x[i]) * (1 - x[i]);
      gradient[i] = -400 * off * x[i] - 2 * (1 - x[i]);
      gradient[i + 1] = 200 * off;
    }
    return value;
  };
  std::vector<double> x{-1.2, 1, 3, -2, 0, 0};
  const swav::detail::LbfgsResult found = swav::detail::minimize_lbfgs(valley, x, {.max_iterations = 200});
  CHECK(found.converged);
  CHECK(found.iterations < 120);
  for (const double entry : x) CHECK(entry == doctest::Approx(1).epsilon(1e-4));
  x = {-1.2, 1};
  CHECK_FALSE(swav::detail::minimize_lbfgs(valley, x, {.max_iterations = 3}).converged);

  // From far away on a curve that is almost flat there, the steps have to grow.
  auto slope = [](std::span<const double> at, std::span<double> gradient) {
    const double root = std::sqrt(1 + at[0] * at[0]);
    gradient[0] = at[0] / root;
    return root;
  };
  x = {1e4};
  CHECK(swav::detail::minimize_lbfgs(slope, x).value == doctest::Approx(1));
}

TEST_CASE("the L-BFGS probe finds PyTorch's optimum") {
  const Problem<double> problem;
  LinearProbe<double> probe({.lbfgs = {.max_iterations = 1000}});
  const ProbeFit fit = probe.fit(problem.train, problem.train_labels);
  CHECK(fit.converged);
  CHECK(fit.loss == doctest::Approx(problem.golden.at("lbfgs_loss")(0, 0)).epsilon(1e-9));
  CHECK(probe.predict(problem.test) == problem.wanted("lbfgs"));

  const Problem<float> rounded;
  LinearProbe<float> in_float;
  CHECK(in_float.accuracy(rounded.train, rounded.train_labels, rounded.test, rounded.test_labels) ==
        problem.wanted_accuracy("lbfgs"));
  CHECK(in_float.fit(rounded.train, rounded.train_labels).loss ==
        doctest::Approx(problem.golden.at("lbfgs_loss")(0, 0)).epsilon(1e-5));
}

TEST_CASE("the SGD probe follows PyTorch's trajectory from the same start in the same order") {
  const Problem<double> problem;
  LinearProbe<double> probe({.solver = ProbeSolver::sgd, .sgd = {.epochs = 12, .batch_size = 64}, .seed = 11});
  const ProbeFit fit = probe.fit(problem.train, problem.train_labels);
  CHECK(fit.loss == doctest::Approx(problem.golden.at("sgd_loss")(0, 0)).epsilon(1e-10));
  CHECK(fit.iterations == 12);
  CHECK(probe.predict(problem.test) == problem.wanted("sgd"));
  CHECK(probe.accuracy(problem.test, problem.test_labels) == problem.wanted_accuracy("sgd"));
}

TEST_CASE("the probes do not depend on the number of threads") {
  const LargeProblem problem(3000);
  for (const ProbeSolver solver : {ProbeSolver::lbfgs, ProbeSolver::sgd}) {
    const LinearProbeOptions options{.solver = solver, .sgd = {.learning_rate = 0.05, .epochs = 2}};
    LinearProbe<float> one(options, test_device(1)), three(options, test_device(3));
    CHECK(one.fit(problem.features, problem.labels).loss == three.fit(problem.features, problem.labels).loss);
    CHECK(one.predict(problem.features) == three.predict(problem.features));
    CHECK(one.accuracy(problem.features, problem.labels) > 0.95);
  }
}

TEST_CASE("separable classes and a single class end the L-BFGS probe") {
  const RowMatrix<float> features{{-1, 3}, {-2, 3}, {1, 3}, {2, 3}};
  LinearProbe<float> probe;
  probe.fit(features, std::vector<int>{0, 0, 1, 1});
  CHECK(probe.predict(features) == std::vector<int>{0, 0, 1, 1});
  probe.fit(features, std::vector<int>{0, 0, 0, 0});
  CHECK(probe.predict(features) == std::vector<int>{0, 0, 0, 0});
}

TEST_CASE_TEMPLATE("spread, assignments and usage equal PyTorch's", Scalar, SWAV_WIDE_SCALARS) {
  const Problem<Scalar> problem;
  const double tolerance = std::is_same_v<Scalar, float> ? 1e-6 : 1e-12;
  CHECK(spread_of<Scalar>(problem.test) == doctest::Approx(problem.golden.at("spread")(0, 0)).epsilon(tolerance));
  const std::vector<int> assigned =
      assignments_of<Scalar>(problem.test, converted<Scalar>(problem.golden.at("prototypes")));
  CHECK(assigned == problem.wanted("assigned"));
  const PrototypeUsage usage = prototype_usage(assigned, 10);
  CHECK(std::vector<int>(usage.counts.begin(), usage.counts.end()) == problem.wanted("counts"));
  CHECK(usage.entropy == doctest::Approx(problem.golden.at("entropy")(0, 0)).epsilon(1e-12));
  CHECK(usage.perplexity == doctest::Approx(std::exp(usage.entropy)));
}

TEST_CASE("the statistics at their ends") {
  CHECK(spread_of<float>(RowMatrix<float>(RowMatrix<float>::Constant(9, 4, 2.f))) == doctest::Approx(0).epsilon(1e-6));
  Generator generator(1);
  CHECK(spread_of<double>(normal_matrix(20'000, 64, generator)) == doctest::Approx(1 / 8.0).epsilon(0.01));
  const PrototypeUsage even = prototype_usage(std::vector<int>{0, 1, 2, 3}, 4);
  CHECK(even.used == 4);
  CHECK(even.perplexity == doctest::Approx(4));
  const PrototypeUsage collapsed = prototype_usage(std::vector<int>{2, 2, 2}, 4);
  CHECK(collapsed.used == 1);
  CHECK(collapsed.perplexity == doctest::Approx(1));
}

TEST_CASE("bad options are named") {
  CHECK_THROWS_WITH_AS(KnnClassifier<float>({.neighbors = 0}), "neighbors: 0 found, 1 or more wanted", InvalidInput);
  CHECK_THROWS_AS(KnnClassifier<float>({.temperature = 0}), InvalidInput);
  CHECK_THROWS_AS(KnnClassifier<float>({.temperature = bad_values[0]}), InvalidInput);
  CHECK_THROWS_AS(LinearProbe<float>({.lbfgs = {.weight_decay = -1}}), InvalidInput);
  CHECK_THROWS_AS(LinearProbe<float>({.lbfgs = {.max_iterations = 0}}), InvalidInput);
  CHECK_THROWS_AS(LinearProbe<float>({.sgd = {.learning_rate = 0}}), InvalidInput);
  CHECK_THROWS_AS(LinearProbe<float>({.sgd = {.weight_decay = bad_values[1]}}), InvalidInput);
  CHECK_THROWS_AS(LinearProbe<float>({.sgd = {.epochs = 0}}), InvalidInput);
  CHECK_THROWS_AS(LinearProbe<float>({.sgd = {.batch_size = 0}}), InvalidInput);
}

TEST_CASE("bad features and labels are named") {
  const Problem<float> problem;
  const KnnClassifier<float> knn;
  LinearProbe<float> probe;
  CHECK_THROWS_AS(probe.predict(problem.test), InvalidInput);
  const RowMatrix<float> none(0, 8), narrow = problem.test.leftCols(7), few = problem.train.topRows(19);
  std::vector<int> short_labels = problem.train_labels, negative = problem.train_labels, huge = problem.train_labels;
  short_labels.pop_back();
  negative[3] = -1;
  huge[3] = std::numeric_limits<int>::max();
  CHECK_THROWS_AS(knn.predict(few, std::vector<int>(19), problem.test), InvalidInput);
  for (const RowMatrix<float>& test : {none, narrow}) {
    CHECK_THROWS_AS(knn.predict(problem.train, problem.train_labels, test), InvalidInput);
    CHECK_THROWS_AS(probe.accuracy(problem.train, problem.train_labels, test,
                                   std::vector<int>(static_cast<std::size_t>(test.rows()))),
                    InvalidInput);
  }
  for (const std::vector<int>& labels : {short_labels, negative, huge}) {
    CHECK_THROWS_AS(knn.predict(problem.train, labels, problem.test), InvalidInput);
    CHECK_THROWS_AS(probe.fit(problem.train, labels), InvalidInput);
    CHECK_THROWS_AS(knn.accuracy(problem.train, problem.train_labels, problem.test, labels), InvalidInput);
  }
  CHECK_THROWS_AS(probe.fit(none, {}), InvalidInput);
  for (const double bad : bad_values) {
    CHECK_THROWS_AS(knn.predict(with_entry(problem.train, bad), problem.train_labels, problem.test), InvalidInput);
    CHECK_THROWS_AS(knn.predict(problem.train, problem.train_labels, with_entry(problem.test, bad)), InvalidInput);
    CHECK_THROWS_AS(probe.fit(with_entry(problem.train, bad), problem.train_labels), InvalidInput);
  }
  probe.fit(problem.train, problem.train_labels);
  for (const double bad : bad_values) CHECK_THROWS_AS(probe.predict(with_entry(problem.test, bad)), InvalidInput);
  CHECK_THROWS_AS(probe.predict(narrow), InvalidInput);
  CHECK_THROWS_AS(accuracy({}, {}), InvalidInput);
}

TEST_CASE("bad statistics' input is named") {
  const Problem<float> problem;
  const RowMatrix<float> prototypes = converted<float>(problem.golden.at("prototypes"));
  CHECK_THROWS_AS(spread_of<float>(RowMatrix<float>(0, 3)), InvalidInput);
  CHECK_THROWS_AS(assignments_of<float>(problem.test, RowMatrix<float>(0, 8)), InvalidInput);
  CHECK_THROWS_AS(assignments_of<float>(RowMatrix<float>(0, 8), prototypes), InvalidInput);
  CHECK_THROWS_AS(assignments_of<float>(problem.test, prototypes.leftCols(7)), InvalidInput);
  for (const double bad : bad_values) {
    CHECK_THROWS_AS(spread_of<float>(with_entry(problem.test, bad)), InvalidInput);
    CHECK_THROWS_AS(assignments_of<float>(with_entry(problem.test, bad), prototypes), InvalidInput);
  }
  CHECK_THROWS_AS(prototype_usage({}, 3), InvalidInput);
  CHECK_THROWS_AS(prototype_usage(std::vector<int>{0}, 0), InvalidInput);
  CHECK_THROWS_WITH_AS(prototype_usage(std::vector<int>{3}, 3), "assignments: 3 found, 0 to 2 wanted", InvalidInput);
  CHECK_THROWS_AS(prototype_usage(std::vector<int>{-1}, 3), InvalidInput);
}

TEST_CASE_TEMPLATE("features as large and as small as the scalar allows", Scalar, SWAV_WIDE_SCALARS) {
  const Scalar huge = std::numeric_limits<Scalar>::max() / 8, tiny = std::numeric_limits<Scalar>::min();
  RowMatrix<Scalar> train = RowMatrix<Scalar>::Constant(4, 8, -huge);
  train.row(3).setConstant(Scalar(1));
  const std::vector<int> labels = {0, 0, 0, 1};
  for (const Scalar size : {huge, Scalar(1)}) {
    const RowMatrix<Scalar> test = RowMatrix<Scalar>::Constant(1, 8, size);
    CHECK(KnnClassifier<Scalar>({.neighbors = 4}).predict(train, labels, test) == std::vector<int>{1});
  }
  RowMatrix<Scalar> spread = RowMatrix<Scalar>::Identity(8, 8);
  const double wanted = spread_of<Scalar>(spread);
  for (const Scalar size : {huge, tiny}) {
    const RowMatrix<Scalar> scaled = spread * size;
    CHECK(spread_of<Scalar>(scaled) == doctest::Approx(wanted));
  }
}

TEST_CASE("views that are none are refused") {
  std::vector<float> memory(32, 1.0f);
  const std::vector<int> labels = {0, 1, 0, 1};
  const RowMatrix<float> sound = RowMatrix<float>::Ones(4, 4);
  const MatrixView<const float> bad[] = {{memory.data(), 4, 4, 3}, {nullptr, 4, 4}, {memory.data(), -4, 4}};
  for (const MatrixView<const float>& view : bad) {
    const KnnClassifier<float> knn({.neighbors = 1});
    CHECK_THROWS_AS(knn.predict(view, labels, sound), InvalidInput);
    CHECK_THROWS_AS(knn.predict(sound, labels, view), InvalidInput);
    LinearProbe<float> probe;
    CHECK_THROWS_AS(probe.fit(view, labels), InvalidInput);
    probe.fit(sound, labels);
    CHECK_THROWS_AS(probe.predict(view), InvalidInput);
    CHECK_THROWS_AS(spread_of<float>(view), InvalidInput);
    CHECK_THROWS_AS(assignments_of<float>(view, sound), InvalidInput);
    CHECK_THROWS_AS(assignments_of<float>(sound, view), InvalidInput);
  }
}
