// What the tests of Sinkhorn::solve share. In: a result. Out: whether it is sound.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "devices.hpp"

namespace swav::test {

inline constexpr Stabilization domains[] = {Stabilization::automatic, Stabilization::scaling, Stabilization::absorption,
                                            Stabilization::log};

/// One solve in double by a solver of its own.
inline Sinkhorn<double>::Result solve(const RowMatrix<double>& cost, SinkhornOptions options,
                                      const std::vector<double>& a = {}, const std::vector<double>& b = {},
                                      const Sinkhorn<double>::Result* warm = nullptr) {
  return Sinkhorn<double>(std::move(options)).solve(cost, a, b, warm);
}

/// Potentials below +inf and not NaN, a finite plan without negative entries, and costs that are no NaN.
inline bool without_nan(const Sinkhorn<double>::Result& r) {
  const auto below_infinity = [](double x) { return x < std::numeric_limits<double>::infinity(); };
  const RowMatrix<double> plan = r.plan();
  return std::all_of(r.f.begin(), r.f.end(), below_infinity) && std::all_of(r.g.begin(), r.g.end(), below_infinity) &&
         plan.allFinite() && plan.minCoeff() >= 0 && !std::isnan(r.marginal_error) && !std::isnan(r.transport_cost) &&
         !std::isnan(r.regularized_cost) && !std::isnan(r.dual_cost) && !std::isnan(r.entropy);
}

}  // namespace swav::test
