// Sinkhorn's iterations to a tolerance, free of any backend. In: cost, masses, options, a device. Out: a
// TransportResult. Its public face is swav::Sinkhorn in solver.hpp.
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
#include "swav/sinkhorn/transport_result.hpp"

namespace swav::detail {

/// What Sinkhorn::solve_into does. Owns the workspace. Between runs of iterations in one domain the state is the
/// potentials f, g, from which each domain makes its own.
template <class Scalar, class Device>
class TransportSolver {
  using L = PotentialScalar<Scalar>;
  using Passes = TransportPasses<Device>;
  using Result = TransportResult<Scalar, Device>;
  using Cost = MatrixView<const Scalar>;

 public:
  TransportSolver(const SinkhornOptions& options, const Device& device) : options_(options), whole_device_(device) {}

  void solve_into(Cost cost, VectorView<const Scalar> a, VectorView<const Scalar> b, const Result* warm,
                  Result& result) {
    check_sizes(cost, a, b, warm);
    device_ = Passes::device_for(whole_device_, cost.size());
    workspace_.reserve(cost.rows, cost.cols, device_);
    load_masses(cost, a, b);
    cold_ = warm == nullptr;
    if (cold_)
      Passes::fill(workspace_.g, cost.cols, L(0));
    else
      load_warm(warm->g);
    Passes::mask(workspace_.g, workspace_.b, cost.cols);
    const CostSummary<L> summary = Passes::reduce(device_, cost, workspace_);
    check(summary);
    Passes::fill(workspace_.f, cost.rows, -std::numeric_limits<L>::infinity());

    // Nothing of the caller's is touched before here.
    cost_ = cost;
    summary_ = summary;
    reduced_ = true;
    result_ = &result;
    result.errors.clear();
    result.iterations = 0;
    result.marginal_error = std::numeric_limits<double>::infinity();
    log_wait_ = 16;
    single_ = options_.kernel_storage != KernelStorage::full && sizeof(L) > sizeof(float);
    log_ = options_.stabilization == Stabilization::log;
    quick_absorptions_ = 0;
    const bool infeasible =
        (summary.stranded_row && std::isinf(options_.rho_a)) || (summary.stranded_column && std::isinf(options_.rho_b));
    finish(infeasible ? TransportStatus::infeasible : run_schedule());
  }

 private:
  // How a run of iterations in one domain ended: left_range asks for another kernel or for the log domain, settled for
  // a kernel again.
  enum class Ending { converged, max_iterations, stopped, infeasible, left_range, settled, failed };

  static void check_sizes(Cost cost, VectorView<const Scalar> a, VectorView<const Scalar> b, const Result* warm) {
    require(cost.rows > 0 && cost.cols > 0, "Sinkhorn::solve: cost of shape ", cost.rows, " x ", cost.cols,
            " found, at least 1 x 1 wanted");
    require(a.size == 0 || a.size == cost.rows, "Sinkhorn::solve: a of size ", a.size, " found, ", cost.rows,
            " (the rows of the cost) or 0 wanted");
    require(b.size == 0 || b.size == cost.cols, "Sinkhorn::solve: b of size ", b.size, " found, ", cost.cols,
            " (the columns of the cost) or 0 wanted");
    require(warm == nullptr || static_cast<Index>(warm->g.size()) == cost.cols,
            "Sinkhorn::solve: warm start with g of size ", warm == nullptr ? 0 : warm->g.size(), " found, ", cost.cols,
            " wanted");
  }

  void load_masses(Cost cost, VectorView<const Scalar> a, VectorView<const Scalar> b) {
    const MassSummary<L> of_a = Passes::load_masses(a, cost.rows, workspace_.a);
    const MassSummary<L> of_b = Passes::load_masses(b, cost.cols, workspace_.b);
    const auto sound = [](const MassSummary<L>& summary, VectorView<const Scalar> masses, const char* name) {
      require(summary.bad < 0, "Sinkhorn::solve: ", name, "[", summary.bad, "] = ",
              summary.bad < 0 ? 0.0 : static_cast<double>(static_cast<Accumulator<Scalar>>(masses[summary.bad])),
              " found, a finite mass >= 0 wanted");
      require(summary.total > 0 && std::isfinite(summary.total), "Sinkhorn::solve: ", name, " of total mass ",
              summary.total, " found, a finite total > 0 wanted");
    };
    sound(of_a, a, "a");
    sound(of_b, b, "b");
    mass_ = of_a.total;
    if (!balanced()) return;
    const double rounding = std::ldexp(1.0, -std::min(std::numeric_limits<Scalar>::digits, 53));
    require(std::abs(of_a.total - of_b.total) <= static_cast<L>(std::sqrt(rounding)) * of_a.total,
            "Sinkhorn::solve: masses of totals ", of_a.total, " (a) and ", of_b.total,
            " (b) found, the same wanted, or a finite rho_a or rho_b");
    Passes::scale_masses(workspace_.b, cost.cols, of_a.total / of_b.total);
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
    require(summary.bad_row < 0, "Sinkhorn::solve: cost with a NaN or -inf in row ", summary.bad_row,
            " found, finite entries or +inf wanted");
    const L largest = std::numeric_limits<L>::max() / L(1 << 20);
    require(summary.largest <= largest, "Sinkhorn::solve: cost with an entry of size ", summary.largest,
            " found, at most ", largest, " wanted");
    require(static_cast<L>(options_.epsilon * options_.epsilon_start_factor) <= largest,
            "SinkhornOptions.epsilon: ", options_.epsilon * options_.epsilon_start_factor, " found, at most ", largest,
            " wanted");
  }

  [[nodiscard]] bool balanced() const { return std::isinf(options_.rho_a) && std::isinf(options_.rho_b); }
  [[nodiscard]] L lambda(double rho) const {
    return std::isinf(rho) ? L(1) : static_cast<L>(rho) / (static_cast<L>(rho) + epsilon_);
  }
  [[nodiscard]] int max_iterations() const { return options_.max_iterations.value_or(10'000); }
  [[nodiscard]] double tolerance() const {
    return options_.tolerance.value_or(sizeof(Accumulator<Scalar>) < sizeof(double) ? 1e-6 : 1e-9);
  }

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
                            : single_ ? run_with_kernel(single_kernel(), refine ? single_tolerance : 0.9 * wanted)
                                      : run_with_kernel(full_kernel(), wanted);
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

  MatrixView<float> single_kernel() { return {workspace_.single_kernel.reserve(cost_.size()), cost_.rows, cost_.cols}; }
  MatrixView<L> full_kernel() { return {workspace_.kernel.reserve(cost_.size()), cost_.rows, cost_.cols}; }

  template <class Kernel>
  Ending run_with_kernel(MatrixView<Kernel> kernel, double wanted) {
    // Products of factors at both limits leave e^(-range/3) of what the smallest normal number would miss.
    const L range = static_cast<L>(-0.6931 * std::numeric_limits<Kernel>::min_exponent);
    const L log_limit = options_.absorption_threshold
                            ? std::min(static_cast<L>(std::log(*options_.absorption_threshold)), range / 3)
                            : range / 3;
    const L limit = std::exp(log_limit);
    if (!reduced_) Passes::reduce(device_, cost_, workspace_);
    reduced_ = false;
    Passes::make_kernel(device_, cost_, epsilon_, kernel, workspace_);
    Passes::start_factors(cost_.rows, cost_.cols, epsilon_, options_.rho_a, options_.rho_b, range / 6, cold_,
                          workspace_);
    relaxation_.restart();
    result_->domain = Stabilization::scaling;
    for (int iteration = 1;; ++iteration) {
      const L omega = static_cast<L>(relaxation_.factor());
      const FactorUpdate<L> rows =
          Passes::iterate(device_, MatrixView<const Kernel>(kernel), lambda(options_.rho_a), omega, workspace_);
      const FactorUpdate<L> columns = Passes::update_columns(cost_.cols, lambda(options_.rho_b), omega, workspace_);
      const L lowest = std::min(rows.lowest, columns.lowest), highest = std::max(rows.highest, columns.highest);
      const double error = static_cast<double>((rows.residual + columns.residual) / mass_);
      if (!(std::isfinite(error) && lowest > 0 && highest < std::numeric_limits<L>::infinity())) {
        // v is as it was, and sound.
        ++result_->iterations;
        Passes::column_potentials(cost_.cols, epsilon_, workspace_.v, workspace_);
        if (options_.stabilization == Stabilization::automatic) return leave_for_log_domain();
        return iteration == 1 ? Ending::failed : Ending::left_range;
      }
      if (const std::optional<Ending> ending = note(error, wanted)) {
        Passes::row_potentials(cost_.rows, epsilon_, workspace_);
        Passes::column_potentials(cost_.cols, epsilon_, workspace_.v, workspace_);
        return *ending;
      }
      if (options_.stabilization != Stabilization::scaling && (lowest * limit < 1 || highest > limit)) {
        Passes::column_potentials(cost_.cols, epsilon_, workspace_.next, workspace_);
        quick_absorptions_ = iteration <= 3 ? quick_absorptions_ + 1 : 0;
        return quick_absorptions_ >= 2 && options_.stabilization == Stabilization::automatic ? leave_for_log_domain()
                                                                                             : Ending::left_range;
      }
      relaxation_.observe(error, wanted, static_cast<double>(columns.largest_move));
      if (summary_.forbidden && result_->iterations % 64 == 0) {
        Passes::row_potentials(cost_.rows, epsilon_, workspace_);
        Passes::column_potentials(cost_.cols, epsilon_, workspace_.v, workspace_);
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
          Passes::log_iterate(device_, cost_, epsilon_, lambda(options_.rho_a), omega, workspace_);
      const FactorUpdate<L> columns =
          Passes::log_update_columns(device_, cost_, epsilon_, lambda(options_.rho_b), omega, workspace_);
      const double error = static_cast<double>((rows.residual + columns.residual) / mass_);
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
        !options_.progress(
            {.iterations = iterations, .marginal_error = error, .epsilon = static_cast<double>(epsilon_)}))
      return converged ? Ending::converged : Ending::stopped;
    if (converged) return Ending::converged;
    return last ? std::optional(Ending::max_iterations) : std::nullopt;
  }

  // Whether the dual's value exceeds what any plan with these marginals could cost: then there is none.
  bool is_infeasible() {
    if (!balanced() || !summary_.forbidden) return false;
    const L dual = Passes::dual(cost_.rows, cost_.cols, epsilon_, options_.rho_a, options_.rho_b, mass_, workspace_);
    // KL(P | a b') = sum P log(P/(a b')) - mass + mass^2 with P_ij <= b_j.
    const L divergence = mass_ * -std::log(Passes::smallest_mass(workspace_.a, cost_.rows)) - mass_ + mass_ * mass_;
    const L bound = summary_.maximum * mass_ + epsilon_ * divergence;
    return dual > bound + std::abs(bound) * L(1e-6) + epsilon_ * mass_;
  }

  void finish(TransportStatus status) {
    Result& result = *result_;
    epsilon_ = static_cast<L>(options_.epsilon);
    result.cost_ = cost_;
    result.device_ = device_;
    result.epsilon = options_.epsilon;
    // g is sound where f may not be.
    if (status == TransportStatus::numerical_error)
      Passes::log_iterate(device_, cost_, epsilon_, lambda(options_.rho_a), L(1), workspace_);
    result.f.resize(static_cast<std::size_t>(cost_.rows));
    result.g.resize(static_cast<std::size_t>(cost_.cols));
    if (status == TransportStatus::max_iterations && is_infeasible()) status = TransportStatus::infeasible;
    if (status == TransportStatus::infeasible) {
      make_plan_zero();  // and its value that of an empty minimum
    }
    PlanSums<L> sums = Passes::evaluate(device_, cost_, epsilon_, workspace_);
    if (!std::isfinite(sums.mass + sums.cost + sums.entropy + sums.divergence_a + sums.divergence_b)) {
      status = TransportStatus::numerical_error;
      make_plan_zero();
      sums = Passes::evaluate(device_, cost_, epsilon_, workspace_);
    }
    Passes::store_potentials(workspace_.f, cost_.rows, result.f.data());
    Passes::store_potentials(workspace_.g, cost_.cols, result.g.data());
    result.mass = static_cast<double>(sums.mass);
    result.entropy = static_cast<double>(sums.entropy);
    result.transport_cost = static_cast<double>(sums.cost);
    if (balanced() || !(sums.mass > 0)) {
      // Of the potentials themselves, whatever the kernel's storage has rounded on the way to them.
      result.marginal_error = static_cast<double>((sums.error_a + sums.error_b) / mass_);
      if (status == TransportStatus::converged && result.marginal_error > 2 * tolerance())
        status = TransportStatus::numerical_error;
    }
    const L total_b = balanced() ? mass_ : Passes::total(workspace_.b, cost_.cols);
    const L divergence = -sums.entropy - sums.log_a - sums.log_b - sums.mass + mass_ * total_b;
    L regularized = sums.cost + epsilon_ * divergence;
    if (std::isfinite(options_.rho_a)) regularized += static_cast<L>(options_.rho_a) * sums.divergence_a;
    if (std::isfinite(options_.rho_b)) regularized += static_cast<L>(options_.rho_b) * sums.divergence_b;
    result.regularized_cost = static_cast<double>(regularized);
    result.dual_cost = static_cast<double>(
        Passes::dual(cost_.rows, cost_.cols, epsilon_, options_.rho_a, options_.rho_b, sums.mass, workspace_));
    if (status == TransportStatus::infeasible)
      result.transport_cost = result.regularized_cost = result.dual_cost = std::numeric_limits<double>::infinity();
    result.status = status;
    result.converged = status == TransportStatus::converged;
  }

  void make_plan_zero() {
    Passes::fill(workspace_.f, cost_.rows, -std::numeric_limits<L>::infinity());
    Passes::fill(workspace_.g, cost_.cols, L(0));
    Passes::mask(workspace_.g, workspace_.b, cost_.cols);
  }

  static constexpr double single_tolerance = 1e-6;
  static constexpr double stage_tolerance = 1e-2;

  SinkhornOptions options_;
  Device whole_device_, device_;
  typename Passes::template Workspace<Scalar> workspace_;

  // Of the call under way.
  Cost cost_;
  Result* result_ = nullptr;
  CostSummary<L> summary_;
  Relaxation relaxation_{std::nullopt};
  L mass_{}, epsilon_{};
  bool cold_ = true, reduced_ = false, single_ = false, log_ = false;
  int quick_absorptions_ = 0, log_wait_ = 0;
};

}  // namespace swav::detail
