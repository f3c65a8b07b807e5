// The prototype bank: where it starts, that seeds repeat, that rows are unit, what it refuses. In: nothing. Out:
// checks.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include "device_bank.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "problems.hpp"
#include "scalars.hpp"

namespace {

using swav::Index;
using swav::MatrixView;
using swav::RowMatrix;
using namespace swav::test;

template <class Scalar>
RowMatrix<double> weights_of(const PrototypeBank<Scalar>& bank) {
  return converted<double>(RowMatrix<Scalar>(swav::detail::as_eigen(bank.weights())));
}

template <class Scalar>
double largest_length_error(const RowMatrix<double>& weights) {
  return (weights.rowwise().norm().array() - 1).abs().maxCoeff();
}

}  // namespace

TEST_CASE_TEMPLATE("a new bank has unit rows of uniform entries", Scalar, SWAV_SCALARS) {
  const PrototypeBank<Scalar> bank(300, 128, 5);
  CHECK(bank.prototypes() == 300);
  CHECK(bank.dimension() == 128);
  CHECK(bank.weights().rows == 300);
  CHECK(bank.weights().cols == 128);
  const RowMatrix<double> weights = weights_of(bank);
  CHECK(largest_length_error<Scalar>(weights) <= 2 * std::ldexp(1.0, 1 - std::numeric_limits<Scalar>::digits) + 1e-15);
  // Uniform in (-b, b) before normalisation: mean 0, kurtosis 9/5 (a normal's is 3), largest entry sqrt(3) times the
  // root mean square; 38,400 entries make these sharp.
  const auto squares = weights.array().square();
  CHECK(std::abs(weights.mean()) <= 5 / std::sqrt(128.0 * 38400));
  CHECK(squares.square().mean() / std::pow(squares.mean(), 2) == doctest::Approx(1.8).epsilon(0.03));
  CHECK(weights.cwiseAbs().maxCoeff() * std::sqrt(128.0) <= std::sqrt(3.0) * 1.2);
  CHECK((weights * weights.transpose()).triangularView<Eigen::StrictlyUpper>().toDenseMatrix().maxCoeff() <= 0.6);
}

TEST_CASE_TEMPLATE("a seed fixes the bank, at any thread count, and seeds differ", Scalar, SWAV_DEVICE_SCALARS) {
  const RowMatrix<double> weights = weights_of(PrototypeBank<Scalar>(40, 16, 5));
  CHECK(identical(weights_of(PrototypeBank<Scalar>(40, 16, 5, test_device(1))), weights));
  CHECK(identical(weights_of(PrototypeBank<Scalar>(40, 16, 5, test_device(3))), weights));
  CHECK_FALSE(identical(weights_of(PrototypeBank<Scalar>(40, 16, 6)), weights));
  // The first prototypes do not depend on how many there are.
  const RowMatrix<double> more = weights_of(PrototypeBank<Scalar>(60, 16, 5));
  CHECK(identical(RowMatrix<double>(more.topRows(40)), weights));
}

TEST_CASE_TEMPLATE("normalize gives unit rows of the same direction", Scalar, SWAV_SCALARS) {
  Generator generator(1);
  PrototypeBank<Scalar> bank(17, 9, 5);
  RowMatrix<double> wanted = rounded<Scalar>(3.0 * normal_matrix(17, 9, generator));
  for (Index k = 0; k < 17; ++k)
    for (Index d = 0; d < 9; ++d) bank.weights()(k, d) = static_cast<Scalar>(wanted(k, d));
  bank.weights().row(4)[0] = Scalar(0);
  wanted(4, 0) = 0;
  bank.normalize();
  const double bound = 2 * std::ldexp(1.0, 1 - std::numeric_limits<Scalar>::digits) + 1e-15;
  CHECK(largest_difference(weights_of(bank), unit_rows(wanted)) <= bound);
  const RowMatrix<double> once = weights_of(bank);
  bank.normalize();
  CHECK(largest_difference(weights_of(bank), once) <= bound);
}

TEST_CASE_TEMPLATE("rows of any finite length are normalised, and a row of zeros stays", Scalar, SWAV_WIDE_SCALARS) {
  const auto high = std::numeric_limits<Scalar>::max() / 4, low = std::numeric_limits<Scalar>::denorm_min() * 8;
  const RowMatrix<Scalar> weights{{high, -high, high, high}, {low, low, -low, low}, {0, 0, 0, 0}, {0, 3, 0, -4}};
  PrototypeBank<Scalar> bank(weights);
  bank.normalize();
  const RowMatrix<double> wanted{{.5, -.5, .5, .5}, {.5, .5, -.5, .5}, {0, 0, 0, 0}, {0, .6, 0, -.8}};
  CHECK(largest_difference(weights_of(bank), wanted) <= 1e-6);
}

TEST_CASE("bad banks are named errors") {
  using Bank = PrototypeBank<float>;
  for (const Index bad : {Index{0}, Index{-1}}) {
    CHECK_THROWS_WITH_AS(Bank(bad, 4, 0), doctest::Contains("prototypes"), swav::InvalidInput);
    CHECK_THROWS_WITH_AS(Bank(4, bad, 0), doctest::Contains("dimension"), swav::InvalidInput);
  }
  CHECK_THROWS_AS(Bank(RowMatrix<float>(0, 4)), swav::InvalidInput);
  CHECK_THROWS_AS(Bank(RowMatrix<float>(4, 0)), swav::InvalidInput);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    Bank bank(4, 3, 0);
    bank.weights()(2, 1) = bad;
    CHECK_THROWS_AS(bank.normalize(), swav::InvalidInput);
  }
}

TEST_CASE("heads are parts of one bank, which starts as one of all their prototypes would") {
  const PrototypeBank<float> whole(12, 6, 3), parted(std::vector<Index>{5, 4, 3}, 6, 3);
  CHECK(parted.prototypes() == 12);
  CHECK(parted.head_prototypes() == std::vector<Index>{5, 4, 3});
  CHECK(whole.head_prototypes() == std::vector<Index>{12});
  CHECK(parted.head_first(0) == 0);
  CHECK(parted.head_first(2) == 9);
  CHECK(identical(weights_of(whole), weights_of(parted)));
  const RowMatrix<float> rows = RowMatrix<float>::Ones(4, 3);
  CHECK(PrototypeBank<float>(rows, {1, 3}).head_first(1) == 1);
  for (const std::vector<Index>& heads : {std::vector<Index>{}, {4, 0}, {3}, {5, -1}})
    CHECK_THROWS_AS(PrototypeBank<float>(rows, heads), swav::InvalidInput);
  CHECK_THROWS_AS(PrototypeBank<float>(std::vector<Index>{3, 0}, 2, 1), swav::InvalidInput);
  CHECK_THROWS_AS(PrototypeBank<float>(std::vector<Index>{}, 2, 1), swav::InvalidInput);
}
