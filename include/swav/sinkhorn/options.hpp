// What a Sinkhorn run is told. In: the user's choices. Out: checked values.
#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "swav/core/error.hpp"
#include "swav/core/scalar_traits.hpp"

namespace swav {

/// Where the iterations are computed.
/// - scaling: with a Gibbs kernel exp(-cost/epsilon) and factors u, v: fast, and exact as long as all of it fits the
///   scalar's exponent range.
/// - absorption (`solve` only): scaling, with factors that grow too large taken into the kernel, which is then made
///   again.
/// - log: with potentials and log-sum-exp: any finite cost and any epsilon > 0, several times slower.
/// - automatic: scaling where it fits; what does not fit is absorbed or done in the log domain, as it needs.
enum class Stabilization { automatic, scaling, absorption, log };

/// What `solve` stores the Gibbs kernel in. Sums are in double or better in any case.
/// - single: float: half the memory traffic; marginals are then right to about 1e-7 of the mass.
/// - full: the type of the potentials.
/// - automatic: single down to a marginal error of 1e-6, full from there.
enum class KernelStorage { automatic, single, full };

/// What a `solve` under way reports.
struct SinkhornProgress {
  int iterations = 0;
  double marginal_error = 0;
  double epsilon = 0;  ///< that of the schedule's current stage
};

/// Options of both uses of the solver. `codes` reads the first two and `stabilization`.
struct SinkhornOptions {
  /// Entropy, in units of the scores or of the cost; > 0. SwAV uses 0.05, and 0.03 against collapse.
  double epsilon = 0.05;
  /// Iterations, each one update of both factors; >= 1. Absent: 3 for `codes`, as in SwAV, and 10,000 at most for
  /// `solve`.
  std::optional<int> max_iterations = std::nullopt;
  /// `solve` ends at this marginal error (TransportResult::marginal_error), a part of the mass; > 0. Absent: 1e-9, and
  /// 1e-6 where the accumulator is float.
  std::optional<double> tolerance = std::nullopt;
  Stabilization stabilization = Stabilization::automatic;

  /// `codes` only: the largest entry of each row becomes 1, the others 0, after the last iteration.
  bool hard_codes = false;
  /// `codes` only: each prototype's share of the samples, 0 or more, 1 in all (to 1e-6). Empty: equal shares.
  std::vector<double> prototype_masses = {};

  /// The error is compared with the tolerance, kept and reported every so many iterations. It costs no pass.
  int check_interval = 1;
  /// Over-relaxation factor, in (0, 2); 1 is plain Sinkhorn. Absent: chosen from the convergence observed.
  std::optional<double> relaxation = std::nullopt;
  /// Start at epsilon_start_factor times epsilon and multiply by epsilon_decay a stage, down to epsilon; 1: no
  /// schedule.
  double epsilon_start_factor = 1;
  double epsilon_decay = 0.25;
  /// Weights of KL(row sums | a) and KL(column sums | b) in an unbalanced problem; at least 1e-12
  /// epsilon. Infinite: the marginal is exact.
  double rho_a = std::numeric_limits<double>::infinity();
  double rho_b = std::numeric_limits<double>::infinity();
  KernelStorage kernel_storage = KernelStorage::automatic;
  /// Factors beyond [1/threshold, threshold] times their mass are absorbed; > 1. Absent: as large as the kernel's type
  /// allows, e^29 for float and e^236 for double.
  std::optional<double> absorption_threshold = std::nullopt;
  /// Called at every check; `solve` ends with TransportStatus::stopped where it returns false.
  std::function<bool(const SinkhornProgress&)> progress = {};
};

namespace detail {

/// What `solve` takes where there is no such option.
[[nodiscard]] inline int solve_iterations(const SinkhornOptions& options) {
  return options.max_iterations.value_or(10'000);
}
template <class Scalar>
[[nodiscard]] double solve_tolerance(const SinkhornOptions& options) {
  return options.tolerance.value_or(sizeof(Accumulator<Scalar>) < sizeof(double) ? 1e-6 : 1e-9);
}

inline void check_positive(double value, const char* name) {
  require(std::isfinite(value) && value > 0, "SinkhornOptions.", name, ": ", value,
          " found, a finite value > 0 wanted");
}

/// Whether `epsilon` may stand in these options.
inline void check_epsilon(const SinkhornOptions& options, double epsilon) {
  check_positive(epsilon, "epsilon");
  // Below that, potentials are not as precise as rho is small.
  const double least_rho = 1e-12 * epsilon;
  for (const auto& [rho, name] : {std::pair(options.rho_a, "a"), std::pair(options.rho_b, "b")})
    require(rho > 0 && rho >= least_rho, "SinkhornOptions.rho_", name, ": ", rho,
            " found, a value > 0 and of at least ", least_rho, " (1e-12 epsilon) wanted");
}

inline void check(const SinkhornOptions& options) {
  check_epsilon(options, options.epsilon);
  if (options.max_iterations)
    require(*options.max_iterations >= 1, "SinkhornOptions.max_iterations: ", *options.max_iterations,
            " found, 1 or more wanted");
  if (options.tolerance) check_positive(*options.tolerance, "tolerance");
  require(options.check_interval >= 1, "SinkhornOptions.check_interval: ", options.check_interval,
          " found, 1 or more wanted");
  if (options.relaxation)
    require(*options.relaxation > 0 && *options.relaxation < 2, "SinkhornOptions.relaxation: ", *options.relaxation,
            " found, a value in (0, 2) wanted");
  require(std::isfinite(options.epsilon_start_factor) && options.epsilon_start_factor >= 1,
          "SinkhornOptions.epsilon_start_factor: ", options.epsilon_start_factor, " found, 1 or more wanted");
  require(options.epsilon_decay > 0 && options.epsilon_decay < 1,
          "SinkhornOptions.epsilon_decay: ", options.epsilon_decay, " found, a value in (0, 1) wanted");
  if (options.absorption_threshold)
    require(std::isfinite(*options.absorption_threshold) && *options.absorption_threshold > 1,
            "SinkhornOptions.absorption_threshold: ", *options.absorption_threshold,
            " found, a finite value > 1 wanted");
  double masses = 0;
  for (const double mass : options.prototype_masses) {
    require(std::isfinite(mass) && mass >= 0, "SinkhornOptions.prototype_masses: ", mass,
            " found, finite values of 0 or more wanted");
    masses += mass;
  }
  require(options.prototype_masses.empty() || std::abs(masses - 1) <= 1e-6,
          "SinkhornOptions.prototype_masses: a sum of ", masses, " found, 1 wanted");
}

}  // namespace detail
}  // namespace swav
