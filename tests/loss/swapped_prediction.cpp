// The swapped-prediction loss against PyTorch's autograd, against a plain reference in double, and against differences
// of its own values. In: tests/golden/swapped_loss_*, synthetic embeddings. Out: checks for every scalar and product.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "allocations.hpp"
#include "golden.hpp"
#include "loss/equations.hpp"
#include "scalars.hpp"
#ifdef SWAV_TEST_ONEDNN
#include "swav/backend/eigen/onednn_product.hpp"
#endif

namespace {

using swav::EigenDevice;
using swav::Embeddings;
using swav::Index;
using swav::MatrixView;
using swav::Prototypes;
using swav::RowMatrix;
using swav::SwappedPredictionOptions;
using swav::SwappedPredictionStep;
using namespace swav::test;

}  // namespace

TEST_CASE_TEMPLATE("loss and gradients equal PyTorch's autograd", Scalar, SWAV_PRECISE_SCALARS) {
  for (const std::string file : {"swapped_loss_2.bin", "swapped_loss_8.bin"}) {
    const GoldenArrays golden = load_golden(file);
    int cases = 0;
    for (; golden.contains("embeddings." + std::to_string(cases)); ++cases) {
      std::string n = ".";
      n += std::to_string(cases);
      const RowMatrix<double>& given = golden.at("options" + n);
      SwappedPredictionOptions options{.temperature = given(0, 1)};
      options.sinkhorn = {.epsilon = given(0, 2), .max_iterations = static_cast<int>(given(0, 3))};
      options.crops_for_assign.clear();
      const RowMatrix<double>& crops = golden.at("crops" + n);
      for (Index i = 0; i < crops.size(); ++i) options.crops_for_assign.push_back(static_cast<int>(crops(0, i)));
      for (const bool raw : {true, false}) {
        CAPTURE(file);
        CAPTURE(n);
        CAPTURE(raw);
        options.embeddings = raw ? Embeddings::raw : Embeddings::unit;
        const std::string kind = raw ? "raw." : "unit.";
        const Problem problem{golden.at((raw ? "embeddings" : "unit") + n), golden.at("prototypes" + n),
                              static_cast<Index>(given(0, 0))};
        SwappedPredictionStep<double, EigenDevice> wanted;
        wanted.value = golden.at(kind + "value" + n)(0, 0);
        wanted.grad_embeddings = golden.at(kind + "grad_embeddings" + n);
        wanted.grad_prototypes = golden.at(kind + "grad_prototypes" + n);
        wanted.codes_entropy = golden.at(kind + "entropy" + n)(0, 0);
        const SwappedPredictionStep<Scalar, EigenDevice> step = run<Scalar>(problem, options);
        check_step(step, wanted, problem, options);
        // A single sample's codes are uniform (u P v with one row is 1/K): which one is largest is left to rounding.
        const bool single_sample = problem.z.rows() == problem.views;
        if (!single_sample) CHECK(step.prototypes_used == static_cast<Index>(golden.at(kind + "used" + n)(0, 0)));
        // What the tests below compare with is itself held to PyTorch.
        check_step(reference(problem, options), wanted, problem, options);
      }
    }
    CHECK(cases >= 4);
  }
}

TEST_CASE_TEMPLATE("loss and gradients equal the equations written out", Scalar, SWAV_SCALARS) {
  struct Shape {
    Index samples, prototypes, dimension, views;
    std::vector<int> crops;
  };
  const Shape shapes[] = {
      {70, 5000, 13, 3, {0, 1}},  // K large, several blocks of rows, D odd
      {300, 3, 5, 2, {1, 0}},     // K below a vector's width
      {1, 40, 16, 5, {0, 4}},     // one sample
      {37, 64, 1, 4, {2}},        // D 1
      {19, 33, 31, 6, {0, 1, 2, 3, 4, 5}},
  };
  for (const Shape& shape : shapes) {
    const Problem problem =
        rounded<Scalar>(make_problem(shape.samples, shape.prototypes, shape.dimension, shape.views, 1));
    for (const auto embeddings : {Embeddings::raw, Embeddings::unit})
      for (const auto prototypes : {Prototypes::unit, Prototypes::raw}) {
        CAPTURE(shape.prototypes);
        const SwappedPredictionOptions options{
            .crops_for_assign = shape.crops, .embeddings = embeddings, .prototypes = prototypes};
        // Rows of length up to 4 * sqrt(D) are used as they are with Embeddings::unit: a harder case than it promises.
        check_step(run<Scalar>(problem, options), reference(problem, options), problem, options);
      }
  }
}

TEST_CASE_TEMPLATE("loss and gradients at temperatures, lengths and dimensions that some kernels are not made for",
                   Scalar, SWAV_ROUNDED_SCALARS) {
  struct Case {
    Index samples, prototypes, dimension;
    double temperature, length;  // of some embeddings, those handed in as unit rows
  };
  const Case cases[] = {
      {30, 203, 77, 0.1, 1},    // a dimension that is no multiple of 8
      {90, 130, 150, 0.1, 1},   // a deep product, more rows than a tile of it has
      {90, 2000, 20, 0.1, 1},   // more exponentials than are stored at a time
      {11, 67, 300, 0.1, 1},    // deeper than any
      {20, 70, 24, 0.02, 1},    // exponentials of unit rows leave a half's range
      {20, 70, 24, 4, 900},     // embeddings that are not of length 1: all but few of the exponentials vanish
      {20, 70, 24, 400, 3000},  // or none does
  };
  for (const Case& c : cases) {
    Problem problem = make_problem(c.samples, c.prototypes, c.dimension, 3, 14);
    problem.z = unit_rows(problem.z);
    problem.z.topRows(2 * c.samples) *= c.length;
    problem = rounded<Scalar>(problem);
    CAPTURE(c.dimension);
    CAPTURE(c.temperature);
    SwappedPredictionOptions options{.temperature = c.temperature};
    options.embeddings = c.length == 1 ? Embeddings::raw : Embeddings::unit;
    options.sinkhorn.epsilon = 0.05 * c.length;
    const SwappedPredictionStep<Scalar, EigenDevice> step = run<Scalar>(problem, options);
    check_step(step, reference(problem, options), problem, options);
    CHECK(identical_steps(run<Scalar>(problem, options), step));
  }
  const Problem problem = make_problem(6, 30, 5, 2, 15);
  for (const double sharp : {1e-6, 1e-12}) {
    SwappedPredictionLoss<Scalar> loss({.temperature = sharp});
    CHECK(std::isfinite(
        loss.value(converted<Scalar>(problem.z), PrototypeBank<Scalar>(converted<Scalar>(problem.c)), 2)));
  }
}

TEST_CASE("gradients equal central differences of the value") {
  Problem problem = make_problem(4, 9, 5, 3, 2);
  const auto value = [](const Problem& p, const SwappedPredictionOptions& o) {
    return SwappedPredictionLoss<double>(o).value(p.z, PrototypeBank<double>(p.c), p.views);
  };
  const auto check_differences = [&](RowMatrix<double>& variable, const RowMatrix<double>& gradient, Index first_row,
                                     const SwappedPredictionOptions& options) {
    const double h = 1e-5;
    for (Index i = first_row * variable.cols(); i < variable.size(); ++i) {
      const double at = variable.data()[i];
      variable.data()[i] = at + h;
      const double above = value(problem, options);
      variable.data()[i] = at - h;
      const double below = value(problem, options);
      variable.data()[i] = at;
      CHECK(gradient.data()[i] == doctest::Approx((above - below) / (2 * h)).epsilon(1e-6).scale(1e-2));
    }
  };
  for (const auto embeddings : {Embeddings::raw, Embeddings::unit})
    for (const auto prototypes : {Prototypes::unit, Prototypes::raw}) {
      // With codes from view 0 alone, the other views' embeddings do not move the codes, which are held constant.
      SwappedPredictionOptions options{.crops_for_assign = {0}, .embeddings = embeddings, .prototypes = prototypes};
      SwappedPredictionStep<double, EigenDevice> step = run<double>(problem, options);
      check_differences(problem.z, step.grad_embeddings, 4, options);
      CHECK(largest_entry(RowMatrix<double>(step.grad_embeddings.topRows(4))) <= 1e-15);
      // With an epsilon this large nothing moves the codes.
      options.crops_for_assign = {0, 2};
      options.sinkhorn.epsilon = 1e9;
      step = run<double>(problem, options);
      check_differences(problem.z, step.grad_embeddings, 0, options);
      check_differences(problem.c, step.grad_prototypes, 0, options);
    }
}

TEST_CASE_TEMPLATE("the value alone equals the step's", Scalar, SWAV_SCALARS) {
  const Problem problem = make_problem(33, 50, 9, 4, 3);
  for (const auto embeddings : {Embeddings::raw, Embeddings::unit}) {
    const SwappedPredictionOptions options{.embeddings = embeddings};
    SwappedPredictionLoss<Scalar> loss(options);
    const PrototypeBank<Scalar> bank(converted<Scalar>(problem.c));
    const RowMatrix<Scalar> z = converted<Scalar>(problem.z);
    const double alone = loss.value(z, bank, 4);
    CHECK(alone == loss(z, bank, 4).value);
    CHECK(loss.value(z, bank, 4) == alone);
  }
}

TEST_CASE_TEMPLATE("step_into repeats itself and allocates nothing after the first call", Scalar, SWAV_DEVICE_SCALARS) {
  const Problem problem = make_problem(40, 70, 12, 3, 4);
  const PrototypeBank<Scalar> bank(converted<Scalar>(problem.c));
  const RowMatrix<Scalar> z = converted<Scalar>(problem.z);
  for (const double epsilon : {0.05, 1e-4}) {
    SwappedPredictionOptions options;
    options.sinkhorn.epsilon = epsilon;
    SwappedPredictionLoss<Scalar> loss(options, test_device(2));
    SwappedPredictionStep<Scalar, EigenDevice> step;
    loss.step_into(z, bank, 3, step);
    const SwappedPredictionStep<Scalar, EigenDevice> first = step;
    const Scalar* const place = step.grad_embeddings.data();
    const long before = allocations();
    loss.step_into(z, bank, 3, step);
    const long after = allocations();
    if (counts_allocations) {
      CHECK(after == before);
      CHECK(step.grad_embeddings.data() == place);
    }
    CHECK(identical_steps(step, first));
    // Another shape in between leaves no trace.
    const Problem other = make_problem(7, 90, 20, 2, 5);
    CHECK(loss(converted<Scalar>(other.z), PrototypeBank<Scalar>(converted<Scalar>(other.c)), 2).value > 0);
    loss.step_into(z, bank, 3, step);
    CHECK(identical_steps(step, first));
  }
}

TEST_CASE_TEMPLATE("strided embeddings give what packed ones give", Scalar, SWAV_DEVICE_SCALARS) {
  const Problem problem = make_problem(11, 23, 7, 2, 6);
  const PrototypeBank<Scalar> bank(converted<Scalar>(problem.c));
  RowMatrix<Scalar> wide = RowMatrix<Scalar>::Constant(22, 10, std::numeric_limits<Scalar>::quiet_NaN());
  wide.leftCols(7) = converted<Scalar>(problem.z);
  for (const auto embeddings : {Embeddings::raw, Embeddings::unit}) {
    SwappedPredictionLoss<Scalar> loss({.embeddings = embeddings});
    CHECK(identical_steps(loss(MatrixView<const Scalar>(wide.data(), 22, 7, 10), bank, 2),
                          loss(converted<Scalar>(problem.z), bank, 2)));
  }
}

TEST_CASE_TEMPLATE("the thread count changes nothing beyond rounding, and the same count nothing at all", Scalar,
                   SWAV_DEVICE_SCALARS) {
  const Problem problem = rounded<Scalar>(make_problem(101, 300, 16, 3, 7));
  const SwappedPredictionOptions options;
  const SwappedPredictionStep<double, EigenDevice> wanted = reference(problem, options);
  for (const int threads : {1, 2, 3, 500}) {
    CAPTURE(threads);
    const SwappedPredictionStep<Scalar, EigenDevice> step = run<Scalar>(problem, options, test_device(threads));
    check_step(step, wanted, problem, options);
    CHECK(identical_steps(run<Scalar>(problem, options, test_device(threads)), step));
  }
}

TEST_CASE("permuted samples and prototypes permute the gradients") {
  const Problem problem = make_problem(31, 20, 8, 4, 8);
  const SwappedPredictionStep<double, EigenDevice> step = run<double>(problem, {});
  Generator generator(9);
  std::vector<Index> samples(31), prototypes(20);
  std::iota(samples.begin(), samples.end(), Index{0});
  std::iota(prototypes.begin(), prototypes.end(), Index{0});
  std::shuffle(samples.begin(), samples.end(), generator);
  std::shuffle(prototypes.begin(), prototypes.end(), generator);

  Problem permuted = problem;
  SwappedPredictionStep<double, EigenDevice> wanted = step;
  for (Index v = 0; v < 4; ++v)
    for (Index b = 0; b < 31; ++b) {
      const Index from = v * 31 + samples[static_cast<std::size_t>(b)];
      permuted.z.row(v * 31 + b) = problem.z.row(from);
      wanted.grad_embeddings.row(v * 31 + b) = step.grad_embeddings.row(from);
    }
  for (Index k = 0; k < 20; ++k) {
    permuted.c.row(k) = problem.c.row(prototypes[static_cast<std::size_t>(k)]);
    wanted.grad_prototypes.row(k) = step.grad_prototypes.row(prototypes[static_cast<std::size_t>(k)]);
  }
  const SwappedPredictionStep<double, EigenDevice> found = run<double>(permuted, {});
  check_step(found, wanted, problem, {});
  CHECK(found.prototypes_used == step.prototypes_used);
}

TEST_CASE_TEMPLATE("extreme but finite input gives finite results", Scalar, SWAV_WIDE_SCALARS) {
  const double top = std::sqrt(static_cast<double>(std::numeric_limits<Scalar>::max()));
  const Problem problem = rounded<Scalar>(make_problem(6, 10, 5, 2, 10));
  const SwappedPredictionStep<Scalar, EigenDevice> step = run<Scalar>(problem, {});
  // The loss of normalised embeddings does not depend on their length, even where their squares leave the range.
  for (const double scale : {top * 1e5, 1e-5 / top}) {
    Problem scaled = problem;
    scaled.z *= scale;
    const SwappedPredictionStep<Scalar, EigenDevice> found = run<Scalar>(scaled, {});
    CHECK(found.value == doctest::Approx(step.value).epsilon(10 * Tolerance<Scalar>::value));
    CHECK(largest_difference(found.grad_prototypes, step.grad_prototypes) <=
          10 * Tolerance<Scalar>::gradient * largest_entry(step.grad_prototypes));
  }
  // An embedding of length 0 has no direction: it is left at 0, with gradient 0.
  Problem zeros = problem;
  zeros.z.row(3).setZero();
  const SwappedPredictionStep<Scalar, EigenDevice> found = run<Scalar>(zeros, {});
  CHECK(std::isfinite(found.value));
  CHECK(found.grad_embeddings.allFinite());
  CHECK(found.grad_prototypes.allFinite());
  CHECK(found.grad_embeddings.row(3).isZero(Scalar(0)));
  // Sharp temperatures and codes.
  for (const double sharp : {1e-3, 1e-6}) {
    SwappedPredictionOptions options{.temperature = sharp};
    options.sinkhorn.epsilon = sharp;
    const SwappedPredictionStep<Scalar, EigenDevice> sharpened = run<Scalar>(problem, options);
    CHECK(std::isfinite(sharpened.value));
    CHECK(sharpened.grad_embeddings.allFinite());
    CHECK(sharpened.grad_prototypes.allFinite());
  }
}

TEST_CASE("collapsed embeddings give ln K, and one prototype gives 0") {
  Problem problem = make_problem(8, 16, 6, 2, 11);
  problem.c.rowwise() = problem.c.row(0).eval();
  SwappedPredictionStep<double, EigenDevice> step = run<double>(problem, {});
  CHECK(step.value == doctest::Approx(std::log(16.0)).epsilon(1e-13));
  CHECK(step.codes_entropy == doctest::Approx(std::log(16.0)).epsilon(1e-13));
  problem.c.conservativeResize(1, Eigen::NoChange);
  step = run<double>(problem, {});
  CHECK(std::abs(step.value) <= 1e-14);
  CHECK(largest_entry(step.grad_embeddings) <= 1e-14);
  CHECK(step.prototypes_used == 1);
}

TEST_CASE_TEMPLATE("bad input is a named error and leaves the step as it was", Scalar, SWAV_DEVICE_SCALARS) {
  const double infinity = std::numeric_limits<double>::infinity();
  const Problem problem = make_problem(6, 8, 5, 3, 12);
  const RowMatrix<Scalar> z = converted<Scalar>(problem.z);
  const PrototypeBank<Scalar> bank(converted<Scalar>(problem.c));
  SwappedPredictionLoss<Scalar> loss;
  SwappedPredictionStep<Scalar, EigenDevice> step = loss(z, bank, 3);
  const SwappedPredictionStep<Scalar, EigenDevice> before = step;
  const auto refused = [&](MatrixView<const Scalar> rows, const PrototypeBank<Scalar>& with, Index views,
                           SwappedPredictionLoss<Scalar>& by) {
    CHECK_THROWS_AS(by.step_into(rows, with, views, step), swav::InvalidInput);
    CHECK_THROWS_AS(by(rows, with, views), swav::InvalidInput);
    CHECK_THROWS_AS(by.value(rows, with, views), swav::InvalidInput);
    CHECK(identical_steps(step, before));
  };
  for (const Index views : {Index{-3}, Index{0}, Index{1}, Index{4}, Index{5}, Index{19}})
    refused(z, bank, views, loss);
  refused(RowMatrix<Scalar>(0, 5), bank, 3, loss);
  refused(RowMatrix<Scalar>(18, 0), bank, 3, loss);
  refused(MatrixView<const Scalar>(), bank, 3, loss);
  refused(MatrixView<const Scalar>(z.data(), 18, 4, 5), bank, 3, loss);
  refused(MatrixView<const Scalar>(z.data(), 18, 5, 4), bank, 3, loss);  // rows that overlap
  refused(MatrixView<const Scalar>(nullptr, 18, 5), bank, 3, loss);
  if constexpr (std::is_same_v<swav::Accumulator<Scalar>, float>) {
    SwappedPredictionLoss<Scalar> too_sharp({.temperature = 1e-45, .embeddings = Embeddings::unit});
    refused(RowMatrix<Scalar>::Zero(18, 5).eval(), bank, 3, too_sharp);  // 0 * (1/temperature) would be a NaN
  }
  for (const auto embeddings : {Embeddings::raw, Embeddings::unit})
    for (const auto prototypes : {Prototypes::raw, Prototypes::unit}) {
      SwappedPredictionLoss<Scalar> with_options({.embeddings = embeddings, .prototypes = prototypes});
      for (const double bad : {infinity, -infinity, std::nan("")})
        for (const Index place : {Index{0}, Index{37}, Index{89}}) {
          RowMatrix<Scalar> spoilt = z;
          spoilt.data()[place] = static_cast<Scalar>(bad);
          refused(spoilt, bank, 3, with_options);
          RowMatrix<Scalar> weights = converted<Scalar>(problem.c);
          weights.data()[place % weights.size()] = static_cast<Scalar>(bad);
          refused(z, PrototypeBank<Scalar>(weights), 3, with_options);
        }
    }
  SwappedPredictionLoss<Scalar> out_of_range({.crops_for_assign = {0, 3}});
  refused(z, bank, 3, out_of_range);
  CHECK_NOTHROW(loss.step_into(z, bank, 3, step));
  CHECK(identical_steps(step, before));
}

TEST_CASE("bad options are named errors") {
  const auto make = [](SwappedPredictionOptions options) { return SwappedPredictionLoss<double>(std::move(options)); };
  for (const double temperature : {0.0, -0.1, std::nan(""), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_WITH_AS(make({.temperature = temperature}), doctest::Contains("temperature"), swav::InvalidInput);
  for (const std::vector<int>& crops : {std::vector<int>{}, {0, 0}, {1, 0, 1}, {-1}})
    CHECK_THROWS_WITH_AS(make({.crops_for_assign = crops}), doctest::Contains("crops_for_assign"), swav::InvalidInput);
  CHECK_THROWS_WITH_AS(make({.sinkhorn = {.epsilon = 0}}), doctest::Contains("epsilon"), swav::InvalidInput);
  CHECK_THROWS_WITH_AS(make({.sinkhorn = {.max_iterations = 0}}), doctest::Contains("max_iterations"),
                       swav::InvalidInput);
}

#ifdef SWAV_TEST_ONEDNN
TEST_CASE_TEMPLATE("oneDNN's products give what Eigen's give", Scalar, SWAV_DEVICE_SCALARS) {
  using Device = swav::BasicEigenDevice<swav::OneDnnProduct>;
  for (const auto [samples, prototypes, dimension] :
       {std::array<Index, 3>{33, 70, 13}, std::array<Index, 3>{1, 5, 3}, std::array<Index, 3>{70, 1000, 128}}) {
    const Problem problem = rounded<Scalar>(make_problem(samples, prototypes, dimension, 3, 13));
    for (const int threads : {1, 2})
      check_step(run<Scalar, Device>(problem, {}, Device(threads)), reference(problem, {}), problem, {});
  }
}
#endif
