// Sinkhorn's iterations to a tolerance, free of any backend. In: cost, masses, options, a device, a group of processes.
// Out: a TransportResult. Its public face is swav::Sinkhorn in solver.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/options.hpp"
#include "swav/sinkhorn/relaxation.hpp"
#include "swav/sinkhorn/transport_passes.hpp"
#include "swav/sinkhorn/transport_problem.hpp"
#include "swav/sinkhorn/transport_result.hpp"

namespace swav::detail {

/// What one call of Sinkhorn::solve_into does, with a workspace that outlives it. Between runs of iterations in one
/// domain the state is the potentials f, g, from which each domain makes its own.
template <class Scalar, class Device, class Cost, class Group>
class TransportSolver {
  using L = PotentialScalar<Scalar>;
  using Passes = TransportPasses<Device>;
  using Problem = TransportProblem<Scalar, Device, Cost, Group>;
  using Workspace = typename Problem::Workspace;
  using Result = TransportResult<Scalar, Device, Cost, Group>;
  using Masses = VectorView<const Scalar>;

 public:
  /// Throws InvalidInput, nothing of the caller's being touched. See TransportProblem.
  TransportSolver(const SinkhornOptions& options, const Device& device, const Group& group, Workspace& workspace,
                  const Cost& cost, Masses a, Masses b, const Result* warm)
      : options_(options),
        workspace_(workspace),
        problem_(options, device, group, workspace, cost, a, b, warm == nullptr ? nullptr : &warm->g) {}

  void solve_into(const Cost& cost, const Group& group, Result& result) {
    result_ = &result;
    result.cost_ = cost;
    result.device_ = problem_.device();
    result.group_ = group;
    result.epsilon = options_.epsilon;
    result.rho_a = options_.rho_a;
    result.rho_b = options_.rho_b;
    result.total_a = static_cast<double>(problem_.scale() * problem_.mass());
    result.total_b = static_cast<double>(problem_.scale() * problem_.mass_b());
    result.f.resize(static_cast<std::size_t>(rows()));
    result.g.resize(static_cast<std::size_t>(cols()));
    result.errors.clear();
    result.iterations = 0;
    result.marginal_error = std::numeric_limits<double>::infinity();
    result.status = TransportStatus::stopped;  // should a callback throw
    result.converged = false;
    finish(problem_.solvable() ? run() : TransportStatus::infeasible);
  }

 private:
  // How a run of iterations in one domain ended: left_range asks for another kernel or for the log domain, settled for
  // a kernel again.
  enum class Ending { converged, max_iterations, stopped, infeasible, left_range, settled, failed };

  [[nodiscard]] Index rows() const { return problem_.cost().rows; }
  [[nodiscard]] Index cols() const { return problem_.cost().cols; }
  [[nodiscard]] L lambda(double rho) const {
    return std::isinf(rho) ? L(1) : static_cast<L>(rho) / (static_cast<L>(rho) + epsilon_);
  }
  // Where updates alone would take long to do so. What is to be moved later on is little.
  [[nodiscard]] bool translates(int iteration) const {
    constexpr int often = 8;
    return !problem_.balanced() && lambda(options_.rho_a) * lambda(options_.rho_b) > L(0.25) &&
           (iteration <= often || iteration % often == 0);
  }
  [[nodiscard]] int max_iterations() const { return solve_iterations(options_); }
  [[nodiscard]] double tolerance() const { return solve_tolerance<Scalar>(options_); }

  // Potentials that are no good to start from are given up.
  TransportStatus run() {
    const TransportStatus status = run_schedule();
    if (status != TransportStatus::numerical_error || !problem_.warm()) return status;
    problem_.start_cold();
    return run_schedule();
  }

  // A warm start is at epsilon already.
  TransportStatus run_schedule() {
    cold_ = !problem_.warm();
    log_wait_ = 16;
    single_ = options_.kernel_storage != KernelStorage::full && sizeof(L) > sizeof(float);
    log_ = options_.stabilization == Stabilization::log;
    quick_absorptions_ = 0;
    double epsilon = cold_ ? options_.epsilon * options_.epsilon_start_factor : options_.epsilon;
    bool first = true;
    for (;; epsilon = std::max(epsilon * options_.epsilon_decay, options_.epsilon)) {
      const bool last = !(epsilon > options_.epsilon);
      epsilon_ = static_cast<L>(epsilon);
      relaxation_ = Relaxation(options_.relaxation);
      if (first) problem_.translate_start(epsilon_);
      first = false;
      const TransportStatus status = run_stage(last ? tolerance() : std::max(tolerance(), stage_tolerance));
      if (status != TransportStatus::converged || last) return status;
    }
  }

  // Runs in one domain after the other until the error is at most `wanted`.
  TransportStatus run_stage(double wanted) {
    for (;;) {
      // What a float kernel does to the marginals, with room; from there on the kernel is full.
      const bool refine = options_.kernel_storage == KernelStorage::automatic && wanted < single_tolerance;
      const Ending ending = log_      ? run_in_log_domain(wanted)
                            : single_ ? run_with_kernel<float>(refine ? single_tolerance : 0.9 * wanted)
                                      : run_with_kernel<L>(wanted);
      cold_ = false;
      switch (ending) {
        case Ending::converged:
          if (log_ || !single_ || !refine) return TransportStatus::converged;
          single_ = false;
          break;
        case Ending::max_iterations:
          return TransportStatus::max_iterations;
        case Ending::stopped:
          return TransportStatus::stopped;
        case Ending::infeasible:
          return TransportStatus::infeasible;
        case Ending::left_range:
          if (options_.stabilization != Stabilization::scaling) break;
          [[fallthrough]];
        case Ending::failed:
          return TransportStatus::numerical_error;
        case Ending::settled:
          log_ = false;
          quick_absorptions_ = 0;
          break;
      }
    }
  }

  // A part of the mass, of the plan's in an unbalanced problem: the masses say nothing of its size.
  [[nodiscard]] double relative_error(const FactorUpdate<L>& by_rows, const FactorUpdate<L>& by_columns) const {
    const L mass = problem_.balanced() ? problem_.mass() : by_rows.mass;
    return static_cast<double>((by_rows.residual + by_columns.residual) / mass);
  }

  template <class Kernel>
  Ending run_with_kernel(double wanted) {
    // Products of factors at both limits leave e^(-range/3) of what the smallest normal number would miss.
    const L range = static_cast<L>(-0.6931 * std::numeric_limits<Kernel>::min_exponent);
    const L log_limit = options_.absorption_threshold
                            ? std::min(static_cast<L>(std::log(*options_.absorption_threshold)), range / 3)
                            : range / 3;
    const L limit = std::exp(log_limit);
    problem_.reduce();
    const auto kernel = Passes::template make_kernel<Kernel>(problem_.device(), problem_.cost(), epsilon_, workspace_);
    Passes::start_factors(problem_.device(), rows(), cols(), epsilon_, options_.rho_a, options_.rho_b, range / 6,
                          options_.stabilization != Stabilization::scaling, cold_, workspace_);
    relaxation_.restart();
    result_->domain = Stabilization::scaling;
    for (int iteration = 1;; ++iteration) {
      const L omega = static_cast<L>(relaxation_.factor());
      const auto rows_done =
          problem_.merged(Passes::iterate(problem_.device(), kernel, lambda(options_.rho_a), omega, workspace_));
      const FactorUpdate<L> by_columns =
          Passes::update_columns(problem_.device(), cols(), lambda(options_.rho_b), omega, workspace_);
      const FactorUpdate<L> by_rows = rows_done;
      const L lowest = std::min(by_rows.lowest, by_columns.lowest),
              highest = std::max(by_rows.highest, by_columns.highest);
      const double error = relative_error(by_rows, by_columns);
      if (!(std::isfinite(error) && lowest > 0 && highest < std::numeric_limits<L>::infinity())) {
        // v is as it was, and sound.
        ++result_->iterations;
        Passes::column_potentials(problem_.device(), cols(), epsilon_, workspace_.v, workspace_);
        if (options_.stabilization == Stabilization::automatic) return leave_for_log_domain();
        return iteration == 1 ? Ending::failed : Ending::left_range;
      }
      if (const std::optional<Ending> ending = note(error, wanted)) {
        Passes::row_potentials(problem_.device(), rows(), epsilon_, workspace_);
        Passes::column_potentials(problem_.device(), cols(), epsilon_, workspace_.v, workspace_);
        return *ending;
      }
      if (translates(iteration)) {
        Passes::row_potentials(problem_.device(), rows(), epsilon_, workspace_);
        Passes::column_potentials(problem_.device(), cols(), epsilon_, workspace_.next, workspace_);
        Passes::translate_bases(problem_.device(), rows(), cols(),
                                problem_.translation(workspace_.f, workspace_.g, epsilon_), epsilon_, options_.rho_a,
                                options_.rho_b, workspace_);
      }
      if (options_.stabilization != Stabilization::scaling && (lowest * limit < 1 || highest > limit)) {
        Passes::column_potentials(problem_.device(), cols(), epsilon_, workspace_.next, workspace_);
        quick_absorptions_ = iteration <= 3 ? quick_absorptions_ + 1 : 0;
        return quick_absorptions_ >= 2 && options_.stabilization == Stabilization::automatic ? leave_for_log_domain()
                                                                                             : Ending::left_range;
      }
      relaxation_.observe(error, wanted, static_cast<double>(by_columns.largest_move));
      if (problem_.forbids() && result_->iterations % 64 == 0) {
        Passes::row_potentials(problem_.device(), rows(), epsilon_, workspace_);
        Passes::column_potentials(problem_.device(), cols(), epsilon_, workspace_.v, workspace_);
        if (problem_.proves_infeasible(epsilon_)) return Ending::infeasible;
      }
      Passes::accept_columns(workspace_);
    }
  }

  Ending leave_for_log_domain() {
    log_ = true;
    return Ending::left_range;
  }

  Ending run_in_log_domain(double wanted) {
    relaxation_.restart();
    result_->domain = Stabilization::log;
    for (int iteration = 1;; ++iteration) {
      const L omega = static_cast<L>(relaxation_.factor());
      const FactorUpdate<L> by_rows = problem_.merged(
          Passes::log_iterate(problem_.device(), problem_.cost(), epsilon_, lambda(options_.rho_a), omega, workspace_));
      if (Passes::starves(problem_.device(), cols(), workspace_)) problem_.find_column_minima();
      const FactorUpdate<L> by_columns =
          Passes::log_update_columns(problem_.device(), cols(), epsilon_, lambda(options_.rho_b), omega, workspace_);
      const double error = relative_error(by_rows, by_columns);
      if (!std::isfinite(error) || !std::isfinite(by_columns.largest_move)) return Ending::failed;
      if (const std::optional<Ending> ending = note(error, wanted)) return *ending;
      relaxation_.observe(error, wanted, static_cast<double>(by_columns.largest_move));
      if (problem_.forbids() && result_->iterations % 64 == 0 && problem_.proves_infeasible(epsilon_))
        return Ending::infeasible;
      if (translates(iteration)) {
        const L move = problem_.translation(workspace_.f, workspace_.next, epsilon_);
        Passes::shift(problem_.device(), workspace_.f, rows(), move);
        Passes::shift(problem_.device(), workspace_.next, cols(), -move);
      }
      Passes::log_accept_columns(workspace_);
      if (options_.stabilization == Stabilization::automatic && iteration >= log_wait_ && by_columns.largest_move < 1) {
        log_wait_ *= 2;
        return Ending::settled;
      }
    }
  }

  // Counts an iteration. Nothing where the run goes on.
  std::optional<Ending> note(double error, double wanted) {
    const int iterations = ++result_->iterations;
    const bool last = iterations >= max_iterations();
    result_->marginal_error = error;
    if (iterations % options_.check_interval != 0 && !last) return std::nullopt;
    result_->errors.push_back(error);
    const bool converged = error <= wanted;
    if (options_.progress &&
        stopped({.iterations = iterations, .marginal_error = error, .epsilon = static_cast<double>(epsilon_)}))
      return converged ? Ending::converged : Ending::stopped;
    if (converged) return Ending::converged;
    return last ? std::optional(Ending::max_iterations) : std::nullopt;
  }

  bool stopped(const SinkhornProgress& progress) { return problem_.in_any_process(!options_.progress(progress)); }

  void finish(TransportStatus status) {
    Result& result = *result_;
    epsilon_ = static_cast<L>(options_.epsilon);
    // g is sound where f may not be.
    if (status == TransportStatus::numerical_error)
      Passes::log_iterate(problem_.device(), problem_.cost(), epsilon_, lambda(options_.rho_a), L(1), workspace_);
    if (status == TransportStatus::max_iterations && problem_.proves_infeasible(epsilon_))
      status = TransportStatus::infeasible;
    if (status == TransportStatus::infeasible) {
      make_plan_zero();  // and its value that of an empty minimum
    }
    problem_.restore_scale(epsilon_);
    PlanSums<L> sums = problem_.evaluate(epsilon_);
    if (!std::isfinite(sums.mass + sums.cost + sums.entropy + sums.divergence_a + sums.divergence_b)) {
      status = TransportStatus::numerical_error;
      make_plan_zero();
      sums = problem_.evaluate(epsilon_);
    }
    // Of the potentials themselves, whatever the kernel's storage has rounded on the way to them.
    const L exact_error =
        (std::isinf(options_.rho_a) ? sums.error_a : L(0)) + (std::isinf(options_.rho_b) ? sums.error_b : L(0));
    const auto error = static_cast<double>(exact_error / std::max(problem_.mass(), sums.mass));
    if (status == TransportStatus::converged && error > 2 * tolerance()) status = TransportStatus::numerical_error;
    if (problem_.balanced() || !(sums.mass > 0))
      result.marginal_error = static_cast<double>((sums.error_a + sums.error_b) / problem_.mass());
    else
      result.marginal_error = std::max(result.marginal_error, error);
    write_costs(sums);
    write_potentials();
    if (status == TransportStatus::infeasible)
      result.transport_cost = result.regularized_cost = result.dual_cost = result.dual_sides =
          std::numeric_limits<double>::infinity();
    result.status = status;
    result.converged = status == TransportStatus::converged;
  }

  // Of the masses and the plan as they are, not divided by `scale`.
  void write_costs(const PlanSums<L>& sums) {
    Result& result = *result_;
    const L scale = problem_.scale(), log_scale = std::log(scale);
    const L product = (scale * problem_.mass()) * (scale * problem_.mass_b());
    result.mass = static_cast<double>(scale * sums.mass);
    result.entropy = static_cast<double>(scale * (sums.entropy - sums.mass * log_scale));
    result.transport_cost = static_cast<double>(scale * sums.cost);
    const L divergence =
        scale * (-sums.entropy - sums.log_a - sums.log_b - sums.mass - sums.mass * log_scale) + product;
    L regularized = scale * sums.cost + epsilon_ * divergence;
    if (std::isfinite(options_.rho_a)) regularized += static_cast<L>(options_.rho_a) * sums.divergence_a;
    if (std::isfinite(options_.rho_b)) regularized += static_cast<L>(options_.rho_b) * sums.divergence_b;
    result.regularized_cost = static_cast<double>(regularized);
    const L sides = scale * (problem_.dual_sides(epsilon_) - epsilon_ * (problem_.mass_b() * log_scale + sums.mass));
    result.dual_sides = static_cast<double>(sides);
    result.dual_cost = static_cast<double>(sides + epsilon_ * product);
    for (double* const cost : {&result.regularized_cost, &result.dual_cost})
      if (std::isnan(*cost)) *cost = std::numeric_limits<double>::infinity();  // out of range
  }

  void write_potentials() {
    Result& result = *result_;
    Passes::shift(problem_.device(), workspace_.f, rows(), epsilon_ * std::log(problem_.scale()));
    Passes::copy_out(problem_.device(), workspace_.f, rows(), result.f.data());
    Passes::copy_out(problem_.device(), workspace_.g, cols(), result.g.data());
  }

  void make_plan_zero() {
    Passes::fill(problem_.device(), workspace_.f, rows(), -std::numeric_limits<L>::infinity());
    Passes::fill(problem_.device(), workspace_.g, cols(), L(0));
    Passes::mask(problem_.device(), workspace_.g, workspace_.b, cols());
  }

  static constexpr double single_tolerance = 1e-6;
  static constexpr double stage_tolerance = 1e-2;

  const SinkhornOptions& options_;
  Workspace& workspace_;
  Problem problem_;
  Result* result_ = nullptr;
  Relaxation relaxation_{std::nullopt};
  L epsilon_{};
  bool cold_ = true, single_ = false, log_ = false;  // cold_: the next factors are the masses
  int quick_absorptions_ = 0, log_wait_ = 0;
};

}  // namespace swav::detail
