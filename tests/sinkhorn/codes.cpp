// Codes against golden files of the release's algorithm, and what must hold for any input. In: tests/golden/sinkhorn_*,
// synthetic scores. Out: checks for every scalar.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "allocations.hpp"
#include "devices.hpp"
#include "golden.hpp"
#include "problems.hpp"
#include "scalars.hpp"
#include "tolerance.hpp"

namespace {

using swav::Index;
using swav::MatrixView;
using swav::RowMatrix;
using swav::SinkhornOptions;
using swav::Stabilization;
using namespace swav::test;

template <class Scalar>
double rounding() {
  return std::ldexp(1.0, 1 - std::numeric_limits<Scalar>::digits);
}

/// How far the sum of a row of stored codes, added up in double, may be from 1: each entry is rounded once, and K sums.
template <class Scalar>
double row_sum_bound(Index prototypes) {
  const double sums = std::max(rounding<swav::Accumulator<Scalar>>(), rounding<double>());
  return rounding<Scalar>() + 4 * static_cast<double>(prototypes) * sums;
}

template <class Scalar>
double largest_row_sum_error(const RowMatrix<Scalar>& codes) {
  return (converted<double>(codes).rowwise().sum().array() - 1.0).abs().maxCoeff();
}

}  // namespace

TEST_CASE_TEMPLATE("codes equal the release's algorithm", Scalar, SWAV_PRECISE_SCALARS) {
  for (const std::string name : {"random", "clustered", "shapes", "extreme"}) {
    const GoldenArrays golden = load_golden("sinkhorn_" + name + ".bin");
    int cases = 0;
    for (; golden.contains("scores." + std::to_string(cases)); ++cases) {
      const std::string n = std::to_string(cases);
      CAPTURE(name);
      CAPTURE(n);
      const RowMatrix<double>& scores = golden.at("scores." + n);
      const RowMatrix<double>& options = golden.at("options." + n);
      const double epsilon = options(0, 0);
      Sinkhorn<Scalar> sinkhorn{{.epsilon = epsilon, .max_iterations = static_cast<int>(options(0, 1))}};
      const RowMatrix<Scalar> codes = sinkhorn.codes(converted<Scalar>(scores));
      // A relative rounding of an exponent moves the code by as much as the exponent is large.
      const double range = (scores.maxCoeff() - scores.minCoeff()) / epsilon;
      CHECK(largest_difference(codes, golden.at("codes." + n)) <=
            Tolerance<Scalar>::codes * std::max(1.0, range / 100));
    }
    CHECK(cases >= 8);
  }
}

TEST_CASE_TEMPLATE("codes of batches of 1024 choose the prototypes that double chooses", Scalar, SWAV_ROUNDED_SCALARS) {
  // What the kernel's storage costs (bfloat16: 8e-4; a half never stores it), and half an ulp below 1 for the code's
  // own.
  constexpr bool kernel_rounded = swav::ScalarTraits<Scalar>::stores_kernel && sizeof(Scalar) == 2;
  const double bound = (kernel_rounded ? 8e-4 : Tolerance<float>::codes) + rounding<Scalar>() / 4;
  int changed = 0;
  for (std::uint64_t problem = 0; problem < (slowness == 1 ? 8 : 1); ++problem) {
    Generator generator(problem);
    const RowMatrix<double> scores = rounded<Scalar>(clustered_scores(1024, 300, generator));
    const RowMatrix<double> exact = Sinkhorn<double>().codes(scores);
    const RowMatrix<Scalar> codes = Sinkhorn<Scalar>().codes(converted<Scalar>(scores));
    CHECK(largest_difference(codes, exact) <= bound);
    CHECK(largest_row_sum_error(codes) <= row_sum_bound<Scalar>(300));
    for (Index b = 0; b < exact.rows(); ++b) {
      Index wanted = 0, chosen = 0;
      exact.row(b).maxCoeff(&wanted);
      const Scalar largest = codes.row(b).maxCoeff(&chosen);
      if (!(codes(b, wanted) < largest)) continue;
      ++changed;
      CHECK(exact(b, chosen) >= (1 - rounding<Scalar>()) * exact(b, wanted));
    }
  }
  // In bfloat16 at most one sample a batch, and that a tie within rounding.
  CHECK(changed <= (kernel_rounded ? 8 : 0));
}

TEST_CASE_TEMPLATE("scaling and log domains agree", Scalar, SWAV_SCALARS) {
  Generator generator(9);
  const RowMatrix<Scalar> scores = converted<Scalar>(clustered_scores(50, 37, generator));
  for (const int iterations : {1, 3, 10}) {
    SinkhornOptions options{.epsilon = 0.05, .max_iterations = iterations, .stabilization = Stabilization::scaling};
    const RowMatrix<Scalar> scaling = Sinkhorn<Scalar>(options).codes(scores);
    options.stabilization = Stabilization::log;
    const RowMatrix<Scalar> logarithmic = Sinkhorn<Scalar>(options).codes(scores);
    CHECK(largest_difference(scaling, logarithmic) <= 2 * Tolerance<Scalar>::codes);
  }
}

TEST_CASE_TEMPLATE("codes in place and through strided views", Scalar, SWAV_SCALARS) {
  Generator generator(10);
  const Index rows = 21, cols = 13, stride = 17;
  const RowMatrix<Scalar> scores = converted<Scalar>(random_scores(rows, cols, generator));
  for (const double epsilon : {0.05, 1e-4}) {  // the scaling and the log domain
    Sinkhorn<Scalar> sinkhorn{{.epsilon = epsilon}};
    const RowMatrix<Scalar> expected = sinkhorn.codes(scores);

    RowMatrix<Scalar> in_place = scores;
    sinkhorn.codes_into(in_place, in_place);
    CHECK(identical(in_place, expected));

    const Scalar mark(-3);
    RowMatrix<Scalar> wide = RowMatrix<Scalar>::Constant(rows, stride, mark);
    wide.leftCols(cols) = scores;
    RowMatrix<Scalar> wide_out = RowMatrix<Scalar>::Constant(rows, stride, mark);
    sinkhorn.codes_into(MatrixView<const Scalar>(wide.data(), rows, cols, stride),
                        MatrixView<Scalar>(wide_out.data() + 2, rows, cols, stride));
    const RowMatrix<Scalar> inner = wide_out.middleCols(2, cols);
    CHECK(identical(inner, expected));
    bool margins_kept = true;
    for (Index r = 0; r < rows; ++r)
      for (const Index c : {Index{0}, Index{1}, Index{15}, Index{16}}) margins_kept &= wide_out(r, c) == mark;
    CHECK(margins_kept);

    sinkhorn.codes_into(MatrixView<const Scalar>(wide.data(), rows, cols, stride),
                        MatrixView<Scalar>(wide.data(), rows, cols, stride));
    const RowMatrix<Scalar> strided_in_place = wide.leftCols(cols);
    CHECK(identical(strided_in_place, expected));
    CHECK(wide(rows - 1, cols) == mark);
  }
}

TEST_CASE_TEMPLATE("codes do not depend on the thread count beyond rounding", Scalar, SWAV_SCALARS) {
  Generator generator(11);
  const RowMatrix<Scalar> scores = converted<Scalar>(clustered_scores(301, 70, generator));
  for (const double epsilon : {0.05, 1e-4}) {
    const SinkhornOptions options{.epsilon = epsilon};
    const RowMatrix<Scalar> one = Sinkhorn<Scalar>(options, test_device(1)).codes(scores);
    for (const int threads : {1, 2, 3, 400}) {
      CAPTURE(threads);
      Sinkhorn<Scalar> sinkhorn(options, test_device(threads));
      const RowMatrix<Scalar> codes = sinkhorn.codes(scores);
      const double range = 2 / epsilon;
      CHECK(largest_difference(codes, one) <= Tolerance<Scalar>::codes * std::max(1.0, range / 100));
      CHECK(identical(sinkhorn.codes(scores), codes));
      CHECK(identical(Sinkhorn<Scalar>(options, test_device(threads)).codes(scores), codes));
    }
  }
}

TEST_CASE_TEMPLATE("a solver used for one shape serves any other", Scalar, SWAV_DEVICE_SCALARS) {
  Generator generator(12);
  Sinkhorn<Scalar> used;
  for (const auto& [rows, cols] : {std::pair<Index, Index>{5, 40}, {40, 5}, {1, 1}, {64, 64}, {3, 2}}) {
    const RowMatrix<Scalar> scores = converted<Scalar>(random_scores(rows, cols, generator));
    CHECK(identical(used.codes(scores), Sinkhorn<Scalar>().codes(scores)));
  }
}

TEST_CASE_TEMPLATE("a shift of all scores changes nothing, and equal scores give uniform codes", Scalar,
                   SWAV_PRECISE_SCALARS) {
  Generator generator(13);
  const RowMatrix<double> scores = rounded<float>(random_scores(20, 11, generator));
  const RowMatrix<double> shifted = (scores.array() + 4.0).matrix();
  CHECK(largest_difference(Sinkhorn<double>().codes(shifted), Sinkhorn<double>().codes(scores)) <= 1e-12);
  const RowMatrix<Scalar> equal = RowMatrix<Scalar>::Constant(6, 5, Scalar(0.3));
  CHECK(largest_difference(Sinkhorn<Scalar>().codes(equal),
                           RowMatrix<double>(RowMatrix<double>::Constant(6, 5, 0.2))) <= 4 * rounding<Scalar>());
}

TEST_CASE("codes are equipartitioned at convergence") {
  Generator generator(14);
  const RowMatrix<double> scores = random_scores(60, 12, generator);
  for (const auto stabilization : {Stabilization::scaling, Stabilization::log}) {
    const RowMatrix<double> codes =
        Sinkhorn<double>{{.epsilon = 0.1, .max_iterations = 3000, .stabilization = stabilization}}.codes(scores);
    CHECK((codes.colwise().sum().array() - 5.0).abs().maxCoeff() <= 1e-9);
    CHECK((codes.rowwise().sum().array() - 1.0).abs().maxCoeff() <= 1e-12);
  }
}

TEST_CASE_TEMPLATE("finite scores never give a NaN, whatever their scale and epsilon", Scalar, SWAV_SCALARS) {
  Generator generator(15);
  std::uniform_real_distribution<double> scale_exponent(-30, 30), epsilon_exponent(-6, 3);
  std::uniform_int_distribution<Index> size(1, 9);
  const double top = static_cast<double>(std::min<long double>(
      static_cast<long double>(std::numeric_limits<Scalar>::max()), std::numeric_limits<double>::max()));
  const auto solves = [&](const RowMatrix<double>& wanted, double epsilon, int iterations) {
    const RowMatrix<Scalar> scores = converted<Scalar>(RowMatrix<double>(wanted.cwiseMax(-top).cwiseMin(top)));
    const RowMatrix<Scalar> codes = Sinkhorn<Scalar>({.epsilon = epsilon, .max_iterations = iterations}).codes(scores);
    const RowMatrix<double> q = converted<double>(codes);
    return q.allFinite() && q.minCoeff() >= 0 && q.maxCoeff() <= 1 + rounding<Scalar>() &&
           largest_row_sum_error(codes) <= row_sum_bound<Scalar>(codes.cols());
  };
  int failures = 0;
  for (int draw = 0; draw < 3000 / slowness; ++draw) {
    const double scale = std::pow(10.0, scale_exponent(generator));
    const double epsilon = std::pow(10.0, epsilon_exponent(generator));
    failures += !solves(scale * normal_matrix(size(generator), size(generator), generator), epsilon, 1 + draw % 5);
  }
  CHECK(failures == 0);

  RowMatrix<double> one_high = RowMatrix<double>::Zero(4, 3);
  one_high(2, 1) = 1;
  RowMatrix<double> one_low = -one_high;
  const RowMatrix<double> checkerboard{{1, -1, 1}, {-1, 1, -1}, {1, 1, -1}, {-1, -1, -1}};
  for (const RowMatrix<double>& pattern : {one_high, one_low, checkerboard})
    for (const double scale : {1e-300, 1e-30, 1.0, 1e4, 1e30, top})
      for (const double epsilon : {1e-300, 1e-45, 1e-6, 0.05, 1.0, 1e30, 1e300}) {
        CAPTURE(pattern);
        CAPTURE(scale);
        CAPTURE(epsilon);
        CHECK(solves(scale * pattern, epsilon, 3));
      }
}

TEST_CASE_TEMPLATE("bad scores and shapes are named errors and leave the output as it was", Scalar, SWAV_SCALARS) {
  const double infinity = std::numeric_limits<double>::infinity();
  Generator generator(16);
  const RowMatrix<Scalar> good = converted<Scalar>(random_scores(9, 6, generator));
  RowMatrix<Scalar> out = RowMatrix<Scalar>::Constant(9, 6, Scalar(7));
  const RowMatrix<Scalar> before = out;
  for (const double bad : {infinity, -infinity, std::nan("")})
    for (const Index place : {Index{0}, Index{20}, Index{53}}) {
      RowMatrix<Scalar> scores = good;
      scores.data()[place] = static_cast<Scalar>(bad);
      for (const int threads : {1, 2}) {
        CHECK_THROWS_AS(Sinkhorn<Scalar>({}, test_device(threads)).codes_into(scores, out), swav::InvalidInput);
        CHECK(identical(out, before));
        CHECK_THROWS_AS(Sinkhorn<Scalar>({}, test_device(threads)).codes(scores), swav::InvalidInput);
      }
    }
  Sinkhorn<Scalar> sinkhorn;
  CHECK_THROWS_AS(sinkhorn.codes(RowMatrix<Scalar>(0, 6)), swav::InvalidInput);
  CHECK_THROWS_AS(sinkhorn.codes(RowMatrix<Scalar>(9, 0)), swav::InvalidInput);
  CHECK_THROWS_AS(sinkhorn.codes(MatrixView<const Scalar>()), swav::InvalidInput);
  CHECK_THROWS_AS(sinkhorn.codes_into(good, MatrixView<Scalar>(out).middle_rows(0, 8)), swav::InvalidInput);
  CHECK_THROWS_AS(sinkhorn.codes_into(good, MatrixView<Scalar>(out.data(), 9, 5, 6)), swav::InvalidInput);
  CHECK_THROWS_AS(sinkhorn.codes_into(good, MatrixView<Scalar>(out.data(), 6, 9)), swav::InvalidInput);
  CHECK(identical(out, before));
  CHECK_NOTHROW(sinkhorn.codes_into(good, out));
}

TEST_CASE("scores that do not fit the scaling domain are a named error where it is asked for") {
  // The sums leave float's range at once in `wide`, and only after some iterations in `late`.
  const RowMatrix<float> wide{{0, -90, -10}, {-90, -90, -20}};
  const RowMatrix<float> late{
      {0, 0, -79, 0, -69.5543f}, {-79, -79, -79, 0, -79}, {-79, -49.5701f, -70.3678f, -57.4251f, -59.1793f}};
  for (const RowMatrix<float>& scores : {wide, late}) {
    RowMatrix<float> out = RowMatrix<float>::Constant(scores.rows(), scores.cols(), 7);
    const RowMatrix<float> before = out;
    SinkhornOptions options{.epsilon = 1, .max_iterations = 10, .stabilization = Stabilization::scaling};
    if (scaling_is_wide && scores.minCoeff() > -80) {
      const RowMatrix<double> exact = Sinkhorn<double>(options).codes(converted<double>(scores));
      CHECK(largest_difference(Sinkhorn<float>(options).codes(scores), exact) <= Tolerance<float>::codes);
      continue;
    }
    CHECK_THROWS_WITH_AS(Sinkhorn<float>(options).codes_into(scores, out), doctest::Contains("epsilon"),
                         swav::InvalidInput);
    CHECK(identical(out, before));
    RowMatrix<float> in_place = scores;
    CHECK_THROWS_AS(Sinkhorn<float>(options).codes_into(in_place, in_place), swav::InvalidInput);
    CHECK(identical(in_place, scores));

    options.stabilization = Stabilization::automatic;
    const RowMatrix<double> exact = Sinkhorn<double>(options).codes(converted<double>(scores));
    Sinkhorn<float>(options).codes_into(in_place, in_place);
    CHECK(largest_difference(in_place, exact) <= Tolerance<float>::codes);
  }
}

TEST_CASE("bad options are named errors") {
  const RowMatrix<double> scores = RowMatrix<double>::Zero(3, 2);
  const auto run = [&](SinkhornOptions options) { return Sinkhorn<double>(options).codes(scores); };
  for (const double epsilon : {0.0, -0.05, std::nan(""), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_AS(run({.epsilon = epsilon}), swav::InvalidInput);
  for (const int iterations : {0, -1}) CHECK_THROWS_AS(run({.max_iterations = iterations}), swav::InvalidInput);
  CHECK_THROWS_WITH_AS(run({.epsilon = -0.5}), doctest::Contains("epsilon"), swav::InvalidInput);
  CHECK_THROWS_WITH_AS(run({.max_iterations = -7}), doctest::Contains("-7"), swav::InvalidInput);
}

TEST_CASE_TEMPLATE("codes_into allocates nothing after the first call", Scalar, SWAV_DEVICE_SCALARS) {
  Generator generator(17);
  const RowMatrix<Scalar> scores = converted<Scalar>(random_scores(70, 33, generator));
  RowMatrix<Scalar> out(70, 33);
  for (const double epsilon : {0.05, 1e-4}) {
    Sinkhorn<Scalar> sinkhorn({.epsilon = epsilon}, test_device(2));
    sinkhorn.codes_into(scores, out);
    const long before = allocations();
    sinkhorn.codes_into(scores, out);
    if (counts_allocations) CHECK(allocations() == before);
  }
}
