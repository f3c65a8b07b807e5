// Codes and transport of a scalar that the library does not know. In: synthetic scores and costs. Out: checks against
// double.
#include "user_scalar.hpp"

#include <doctest/doctest.h>

#include "problems.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"

using swav::Index;
using swav::RowMatrix;
using swav::Sinkhorn;
using swav::SinkhornOptions;
using swav::Stabilization;
using namespace swav::test;

TEST_CASE("codes of a user's scalar equal those of the same scores in double") {
  Generator generator(40);
  const RowMatrix<double> scores = rounded<Fixed>(clustered_scores(40, 23, generator));
  for (const Stabilization domain : {Stabilization::scaling, Stabilization::log}) {
    const SinkhornOptions options{.stabilization = domain};
    const RowMatrix<Fixed> codes = Sinkhorn<Fixed>(options).codes(converted<Fixed>(scores));
    CHECK(largest_difference(codes, Sinkhorn<double>(options).codes(scores)) <= 1e-5);
  }
  const RowMatrix<Fixed> hard = Sinkhorn<Fixed>({.hard_codes = true}).codes(converted<Fixed>(scores));
  CHECK(largest_difference(hard, Sinkhorn<double>({.hard_codes = true}).codes(scores)) == 0);
}

TEST_CASE("transport of a user's scalar equals that of the same cost in double") {
  Generator generator(41);
  const RowMatrix<double> x = rounded<Fixed>(normal_matrix(17, 3, generator));
  RowMatrix<double> cost(21, 17);
  for (Index i = 0; i < cost.size(); ++i) cost.data()[i] = std::abs(normal_matrix(1, 1, generator)(0, 0));
  cost = rounded<Fixed>(cost);
  for (const Stabilization domain : {Stabilization::automatic, Stabilization::absorption, Stabilization::log}) {
    const SinkhornOptions options{.epsilon = 0.1, .tolerance = 1e-8, .stabilization = domain};
    const RowMatrix<Fixed> user_cost = converted<Fixed>(cost);
    const auto r = Sinkhorn<Fixed>(options).solve(user_cost);
    const auto exact = Sinkhorn<double>(options).solve(cost);
    CHECK(r.converged);
    CHECK(r.transport_cost == doctest::Approx(exact.transport_cost).epsilon(1e-7));
    CHECK(largest_difference(r.plan(), exact.plan()) <= 1e-7);
    CHECK(largest_difference(r.apply(converted<Fixed>(x)), exact.apply(x)) <= 1e-6);
  }
}
