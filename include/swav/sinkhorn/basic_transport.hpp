// Sinkhorn's iterations to a tolerance, free of any backend. In: cost, masses, options, a device, a group of processes.
// Out: a TransportResult. Its public face is swav::Sinkhorn in solver.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/options.hpp"
#include "swav/sinkhorn/relaxation.hpp"
#include "swav/sinkhorn/transport_passes.hpp"
#include "swav/sinkhorn/transport_result.hpp"

namespace swav::detail {

/// What one call of Sinkhorn::solve_into does, with a workspace that outlives it. Between runs of iterations in one
/// domain the state is the potentials f, g, from which each domain makes its own. Every decision is taken from numbers
/// that all processes of the group have alike.
template <class Scalar, class Device, class Cost, class Group>
class TransportSolver {
  using L = PotentialScalar<Scalar>;
  using Passes = TransportPasses<Device>;
  using CostRows = typename Passes::template CostRows<Cost>;
  using Workspace = typename Passes::template Workspace<Scalar>;
  using Result = TransportResult<Scalar, Device, Cost, Group>;
  using Masses = VectorView<const Scalar>;

 public:
  TransportSolver(const SinkhornOptions& options, const Device& device, const Group& group, Workspace& workspace)
      : options_(options), device_(device), group_(group), workspace_(workspace) {}

  void solve_into(const Cost& cost, Masses a, Masses b, const Result* warm, Result& result) {
    agree(cost, fault_of([&] { check_sizes(cost, a, b, warm); }));
    const CostRows rows(cost, workspace_.points);
    cost_ = &rows;
    device_ = Passes::device_for(device_, cost.size());
    workspace_.reserve(cost.rows, cost.cols, device_);
    cold_ = warm == nullptr;
    start(fault_of([&] { load(a, b, warm); }));

    // Nothing of the caller's is touched before here.
    result_ = &result;
    result.cost_ = cost;
    result.device_ = device_;
    result.group_ = group_;
    result.epsilon = options_.epsilon;
    result.rho_a = options_.rho_a;
    result.rho_b = options_.rho_b;
    result.total_a = static_cast<double>(mass_);
    result.total_b = static_cast<double>(mass_b_);
    result.f.resize(static_cast<std::size_t>(cost.rows));
    result.g.resize(static_cast<std::size_t>(cost.cols));
    result.errors.clear();
    result.iterations = 0;
    result.marginal_error = std::numeric_limits<double>::infinity();
    result.status = TransportStatus::stopped;  // should a callback throw
    result.converged = false;
    const bool infeasible =
        (summary_.stranded_row && std::isinf(options_.rho_a)) || (stranded_column_ && std::isinf(options_.rho_b));
    finish(infeasible ? TransportStatus::infeasible : run_schedule());
  }

 private:
  // How a run of iterations in one domain ended: left_range asks for another kernel or for the log domain, settled for
  // a kernel again.
  enum class Ending { converged, max_iterations, stopped, infeasible, left_range, settled, failed };

  // What is wrong here must be known to all before it is thrown.
  template <class Work>
  static std::string fault_of(const Work& work) {
    try {
      work();
    } catch (const InvalidInput& error) {
      return error.what();
    }
    return {};
  }

  // Throws in each process when there is a fault in any.
  void throw_together(const std::string& fault) {
    L faults = fault.empty() ? L(0) : L(1);
    group_.maximum(&faults, 1);
    require(fault.empty(), fault);
    require(faults == 0,
            "Sinkhorn::solve: a cost or masses that cannot be worked with found in another process of the "
            "group");
  }

  void check_sizes(const Cost& cost, Masses a, Masses b, const Result* warm) const {
    require(cost.cols > 0 && (cost.rows > 0 || group_.size() > 1), "Sinkhorn::solve: cost of shape ", cost.rows, " x ",
            cost.cols, " found, at least 1 x 1 wanted");
    require(a.size == 0 || a.size == cost.rows, "Sinkhorn::solve: a of size ", a.size, " found, ", cost.rows,
            " (the rows of the cost) or 0 wanted");
    require(b.size == 0 || b.size == cost.cols, "Sinkhorn::solve: b of size ", b.size, " found, ", cost.cols,
            " (the columns of the cost) or 0 wanted");
    require(warm == nullptr || static_cast<Index>(warm->g.size()) == cost.cols,
            "Sinkhorn::solve: warm start with g of size ", warm == nullptr ? 0 : warm->g.size(), " found, ", cost.cols,
            " wanted");
  }

  void agree(const Cost& cost, const std::string& fault) {
    throw_together(fault);
    const auto columns = static_cast<L>(cost.cols);
    L seen[] = {columns, -columns};
    group_.maximum(seen, 2);
    require(seen[0] == -seen[1], "Sinkhorn::solve: costs of ", -seen[1], " to ", seen[0],
            " columns found in the group's processes, the same number in each wanted");
    all_rows_ = static_cast<L>(cost.rows);
    group_.sum(&all_rows_, 1);
    require(all_rows_ > 0, "Sinkhorn::solve: no rows found in any process of the group, at least one wanted");
  }

  // Masses, first potentials and what the cost's rows here say.
  void load(Masses a, Masses b, const Result* warm) {
    const auto loaded = [](Masses masses, Index size, L missing, auto& buffer, const char* name) {
      const MassSummary<L> found = Passes::load_masses(masses, size, missing, buffer);
      require(found.bad < 0, "Sinkhorn::solve: ", name, "[", found.bad,
              "] = ", found.bad < 0 ? 0.0 : static_cast<double>(static_cast<Accumulator<Scalar>>(masses[found.bad])),
              " found, a finite mass >= 0 wanted");
      return found.total;
    };
    mass_ = loaded(a, cost_->rows, 1 / all_rows_, workspace_.a, "a");
    mass_b_ = loaded(b, cost_->cols, 1 / static_cast<L>(cost_->cols), workspace_.b, "b");
    if (cold_)
      Passes::fill(workspace_.g, cost_->cols, L(0));
    else
      load_warm(warm->g);
    Passes::mask(workspace_.g, workspace_.b, cost_->cols);
    summary_ = Passes::reduce(device_, *cost_, workspace_);
    check(summary_);
    Passes::fill(workspace_.f, cost_->rows, -std::numeric_limits<L>::infinity());
  }

  template <class Potentials>
  void load_warm(const Potentials& g) {
    for (const L potential : g)
      require(!std::isnan(potential) && potential < std::numeric_limits<L>::infinity(),
              "Sinkhorn::solve: warm start with a potential ", potential, " found, finite or -inf wanted");
    Passes::load_potentials(g.data(), static_cast<Index>(g.size()), workspace_.g);
    Passes::revive(workspace_.g, static_cast<Index>(g.size()));
  }

  void check(const CostSummary<L>& summary) const {
    require(summary.bad_row < 0, "Sinkhorn::solve: cost with a NaN, -inf or overflow in row ", summary.bad_row,
            " found, finite entries or +inf wanted");
    const L largest = std::numeric_limits<L>::max() / L(1 << 20);
    require(summary.largest <= largest, "Sinkhorn::solve: cost with an entry of size ", summary.largest,
            " found, at most ", largest, " wanted");
    require(static_cast<L>(options_.epsilon * options_.epsilon_start_factor) <= largest,
            "SinkhornOptions.epsilon: ", options_.epsilon * options_.epsilon_start_factor, " found, at most ", largest,
            " wanted");
  }

  // Makes masses and summary those of all processes.
  void start(const std::string& fault) {
    throw_together(fault);
    group_.sum(&mass_, 1);
    for (const auto& [total, name] : {std::pair(mass_, "a"), std::pair(mass_b_, "b")})
      require(total > 0 && std::isfinite(total), "Sinkhorn::solve: ", name, " of total mass ", total,
              " found, a finite total > 0 wanted");
    if (balanced()) {
      const double rounding = std::ldexp(1.0, -std::min(std::numeric_limits<Scalar>::digits, 53));
      require(std::abs(mass_ - mass_b_) <= static_cast<L>(std::sqrt(rounding)) * mass_,
              "Sinkhorn::solve: masses of "
              "totals ",
              mass_, " (a) and ", mass_b_, " (b) found, the same wanted, or a finite rho_a or rho_b");
      Passes::scale_masses(workspace_.b, cost_->cols, mass_ / mass_b_);
      mass_b_ = mass_;
    }
    L seen[] = {L(summary_.forbidden), L(summary_.stranded_row), summary_.largest, summary_.maximum};
    group_.maximum(seen, 4);
    summary_.forbidden = seen[0] != 0;
    summary_.stranded_row = seen[1] != 0;
    summary_.largest = seen[2];
    summary_.maximum = seen[3];
    stranded_column_ = reduce_columns();
    reduced_ = true;
    log_wait_ = 16;
    single_ = options_.kernel_storage != KernelStorage::full && sizeof(L) > sizeof(float);
    log_ = options_.stabilization == Stabilization::log;
    quick_absorptions_ = 0;
  }

  void merge_minima() {
    if (group_.size() == 1) return;
    Passes::negate(workspace_.base_g, cost_->cols);
    group_.maximum(workspace_.base_g.data(), cost_->cols);
    Passes::negate(workspace_.base_g, cost_->cols);
  }
  bool reduce_columns() {
    merge_minima();
    return Passes::reduce_columns(cost_->cols, workspace_);
  }
  // Makes the column sums and what the rows' update did those of all processes.
  FactorUpdate<L> merged(FactorUpdate<L> rows) {
    if (group_.size() == 1) return rows;
    group_.sum(workspace_.column_sums.data(), cost_->cols);
    group_.sum(&rows.residual, 1);
    group_.sum(&rows.mass, 1);
    const bool sound = rows.lowest > 0 && rows.highest < std::numeric_limits<L>::infinity();
    L seen[] = {sound ? -rows.lowest : L(0), sound ? rows.highest : std::numeric_limits<L>::infinity()};
    group_.maximum(seen, 2);
    rows.lowest = -seen[0];
    rows.highest = seen[1];
    return rows;
  }

  [[nodiscard]] bool balanced() const { return std::isinf(options_.rho_a) && std::isinf(options_.rho_b); }
  [[nodiscard]] L lambda(double rho) const {
    return std::isinf(rho) ? L(1) : static_cast<L>(rho) / (static_cast<L>(rho) + epsilon_);
  }
  [[nodiscard]] int max_iterations() const { return solve_iterations(options_); }
  [[nodiscard]] double tolerance() const { return solve_tolerance<Scalar>(options_); }

  // A warm start is at epsilon already.
  TransportStatus run_schedule() {
    double epsilon = cold_ ? options_.epsilon * options_.epsilon_start_factor : options_.epsilon;
    for (;; epsilon = std::max(epsilon * options_.epsilon_decay, options_.epsilon)) {
      const bool last = !(epsilon > options_.epsilon);
      epsilon_ = static_cast<L>(epsilon);
      relaxation_ = Relaxation(options_.relaxation);
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

  // A part of the mass, or of the plan's where that is larger, as it can be in an unbalanced problem.
  [[nodiscard]] double relative_error(const FactorUpdate<L>& rows, const FactorUpdate<L>& columns) const {
    return static_cast<double>((rows.residual + columns.residual) / (balanced() ? mass_ : std::max(mass_, rows.mass)));
  }

  template <class Kernel>
  Ending run_with_kernel(double wanted) {
    // Products of factors at both limits leave e^(-range/3) of what the smallest normal number would miss.
    const L range = static_cast<L>(-0.6931 * std::numeric_limits<Kernel>::min_exponent);
    const L log_limit = options_.absorption_threshold
                            ? std::min(static_cast<L>(std::log(*options_.absorption_threshold)), range / 3)
                            : range / 3;
    const L limit = std::exp(log_limit);
    if (!reduced_) {
      Passes::reduce(device_, *cost_, workspace_);
      reduce_columns();
    }
    reduced_ = false;
    const auto kernel = Passes::template make_kernel<Kernel>(device_, *cost_, epsilon_, workspace_);
    Passes::start_factors(cost_->rows, cost_->cols, epsilon_, options_.rho_a, options_.rho_b, range / 6,
                          options_.stabilization != Stabilization::scaling, cold_, workspace_);
    relaxation_.restart();
    result_->domain = Stabilization::scaling;
    for (int iteration = 1;; ++iteration) {
      const L omega = static_cast<L>(relaxation_.factor());
      const FactorUpdate<L> rows = merged(Passes::iterate(device_, kernel, lambda(options_.rho_a), omega, workspace_));
      const FactorUpdate<L> columns = Passes::update_columns(cost_->cols, lambda(options_.rho_b), omega, workspace_);
      const L lowest = std::min(rows.lowest, columns.lowest), highest = std::max(rows.highest, columns.highest);
      const double error = relative_error(rows, columns);
      if (!(std::isfinite(error) && lowest > 0 && highest < std::numeric_limits<L>::infinity())) {
        // v is as it was, and sound.
        ++result_->iterations;
        Passes::column_potentials(cost_->cols, epsilon_, workspace_.v, workspace_);
        if (options_.stabilization == Stabilization::automatic) return leave_for_log_domain();
        return iteration == 1 ? Ending::failed : Ending::left_range;
      }
      if (const std::optional<Ending> ending = note(error, wanted)) {
        Passes::row_potentials(cost_->rows, epsilon_, workspace_);
        Passes::column_potentials(cost_->cols, epsilon_, workspace_.v, workspace_);
        return *ending;
      }
      if (options_.stabilization != Stabilization::scaling && (lowest * limit < 1 || highest > limit)) {
        Passes::column_potentials(cost_->cols, epsilon_, workspace_.next, workspace_);
        quick_absorptions_ = iteration <= 3 ? quick_absorptions_ + 1 : 0;
        return quick_absorptions_ >= 2 && options_.stabilization == Stabilization::automatic ? leave_for_log_domain()
                                                                                             : Ending::left_range;
      }
      relaxation_.observe(error, wanted, static_cast<double>(columns.largest_move));
      if (summary_.forbidden && result_->iterations % 64 == 0) {
        Passes::row_potentials(cost_->rows, epsilon_, workspace_);
        Passes::column_potentials(cost_->cols, epsilon_, workspace_.v, workspace_);
        if (is_infeasible()) return Ending::infeasible;
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
      const FactorUpdate<L> rows =
          merged(Passes::log_iterate(device_, *cost_, epsilon_, lambda(options_.rho_a), omega, workspace_));
      if (Passes::starves(cost_->cols, workspace_)) {
        Passes::column_minima(device_, *cost_, workspace_);
        merge_minima();
      }
      const FactorUpdate<L> columns =
          Passes::log_update_columns(cost_->cols, epsilon_, lambda(options_.rho_b), omega, workspace_);
      const double error = relative_error(rows, columns);
      if (!std::isfinite(error) || !std::isfinite(columns.largest_move)) return Ending::failed;
      if (const std::optional<Ending> ending = note(error, wanted)) return *ending;
      relaxation_.observe(error, wanted, static_cast<double>(columns.largest_move));
      if (summary_.forbidden && result_->iterations % 64 == 0 && is_infeasible()) return Ending::infeasible;
      Passes::log_accept_columns(workspace_);
      if (options_.stabilization == Stabilization::automatic && iteration >= log_wait_ && columns.largest_move < 1) {
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

  bool stopped(const SinkhornProgress& progress) {
    L stop = options_.progress(progress) ? L(0) : L(1);
    group_.maximum(&stop, 1);
    return stop != 0;
  }

  L dual(L mass) {
    L rows = Passes::dual_side(workspace_.a, workspace_.f, cost_->rows, epsilon_, options_.rho_a);
    group_.sum(&rows, 1);
    const L columns = Passes::dual_side(workspace_.b, workspace_.g, cost_->cols, epsilon_, options_.rho_b);
    return rows + columns - epsilon_ * (mass - mass_ * mass_b_);
  }

  // Whether the dual's value exceeds what any plan with these marginals could cost: then there is none.
  bool is_infeasible() {
    if (!balanced() || !summary_.forbidden) return false;
    const L value = dual(mass_);
    L largest = -Passes::smallest_mass(workspace_.a, cost_->rows);
    group_.maximum(&largest, 1);
    // KL(P | a b') = sum P log(P/(a b')) - mass + mass^2 with P_ij <= b_j.
    const L divergence = mass_ * -std::log(-largest) - mass_ + mass_ * mass_;
    const L bound = summary_.maximum * mass_ + epsilon_ * divergence;
    return value > bound + std::abs(bound) * L(1e-6) + epsilon_ * mass_;
  }

  void finish(TransportStatus status) {
    Result& result = *result_;
    epsilon_ = static_cast<L>(options_.epsilon);
    // g is sound where f may not be.
    if (status == TransportStatus::numerical_error)
      Passes::log_iterate(device_, *cost_, epsilon_, lambda(options_.rho_a), L(1), workspace_);
    if (status == TransportStatus::max_iterations && is_infeasible()) status = TransportStatus::infeasible;
    if (status == TransportStatus::infeasible) {
      make_plan_zero();  // and its value that of an empty minimum
    }
    PlanSums<L> sums = evaluate();
    if (!std::isfinite(sums.mass + sums.cost + sums.entropy + sums.divergence_a + sums.divergence_b)) {
      status = TransportStatus::numerical_error;
      make_plan_zero();
      sums = evaluate();
    }
    Passes::store_potentials(workspace_.f, cost_->rows, result.f.data());
    Passes::store_potentials(workspace_.g, cost_->cols, result.g.data());
    result.mass = static_cast<double>(sums.mass);
    result.entropy = static_cast<double>(sums.entropy);
    result.transport_cost = static_cast<double>(sums.cost);
    // Of the potentials themselves, whatever the kernel's storage has rounded on the way to them.
    const L exact_error =
        (std::isinf(options_.rho_a) ? sums.error_a : L(0)) + (std::isinf(options_.rho_b) ? sums.error_b : L(0));
    const auto error = static_cast<double>(exact_error / std::max(mass_, sums.mass));
    if (status == TransportStatus::converged && error > 2 * tolerance()) status = TransportStatus::numerical_error;
    if (balanced() || !(sums.mass > 0))
      result.marginal_error = static_cast<double>((sums.error_a + sums.error_b) / mass_);
    else
      result.marginal_error = std::max(result.marginal_error, error);
    const L divergence = -sums.entropy - sums.log_a - sums.log_b - sums.mass + mass_ * mass_b_;
    L regularized = sums.cost + epsilon_ * divergence;
    if (std::isfinite(options_.rho_a)) regularized += static_cast<L>(options_.rho_a) * sums.divergence_a;
    if (std::isfinite(options_.rho_b)) regularized += static_cast<L>(options_.rho_b) * sums.divergence_b;
    result.regularized_cost = static_cast<double>(regularized);
    result.dual_cost = static_cast<double>(dual(sums.mass));
    if (status == TransportStatus::infeasible)
      result.transport_cost = result.regularized_cost = result.dual_cost = std::numeric_limits<double>::infinity();
    result.status = status;
    result.converged = status == TransportStatus::converged;
  }

  PlanSums<L> evaluate() {
    PlanSums<L> sums = Passes::evaluate(device_, *cost_, epsilon_, workspace_);
    for (L* const sum : {&sums.mass, &sums.cost, &sums.entropy, &sums.error_a, &sums.log_a, &sums.divergence_a})
      group_.sum(sum, 1);
    group_.sum(workspace_.column_sums.data(), cost_->cols);
    Passes::evaluate_columns(cost_->cols, workspace_, sums);
    return sums;
  }

  void make_plan_zero() {
    Passes::fill(workspace_.f, cost_->rows, -std::numeric_limits<L>::infinity());
    Passes::fill(workspace_.g, cost_->cols, L(0));
    Passes::mask(workspace_.g, workspace_.b, cost_->cols);
  }

  static constexpr double single_tolerance = 1e-6;
  static constexpr double stage_tolerance = 1e-2;

  const SinkhornOptions& options_;
  Device device_;
  Group group_;
  Workspace& workspace_;
  const CostRows* cost_ = nullptr;
  Result* result_ = nullptr;
  CostSummary<L> summary_;
  Relaxation relaxation_{std::nullopt};
  L all_rows_{}, mass_{}, mass_b_{}, epsilon_{};  // rows and masses of all processes
  bool cold_ = true, reduced_ = false, stranded_column_ = false, single_ = false, log_ = false;
  int quick_absorptions_ = 0, log_wait_ = 0;
};

}  // namespace swav::detail
