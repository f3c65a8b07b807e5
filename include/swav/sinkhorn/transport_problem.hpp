// A transport problem that is being solved, free of any backend. In: cost, masses, a warm start, a group of processes.
// Out: checked and loaded data; what is a sum or an extreme over the rows of all processes.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/options.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// The problem in a workspace, which outlives it. Every number that a decision is taken from is the same in all
/// processes of the group. The masses of a balanced problem are divided by `scale`, a power of two near their total, so
/// that totals may be any: P is `scale` times the plan here, and f larger by epsilon log(scale).
template <class Scalar, class Device, class Cost, class Group>
class TransportProblem {
  using L = PotentialScalar<Scalar>;
  using Passes = TransportPasses<Device>;
  using Masses = VectorView<const Scalar>;

 public:
  using CostRows = typename Passes::template CostRows<Cost>;
  using Workspace = typename Passes::template Workspace<Scalar>;

  /// Throws InvalidInput, in every process when it does in one. `warm_g`: potentials of the columns to start from, or
  /// null.
  TransportProblem(const SinkhornOptions& options, const Device& device, const Group& group, Workspace& workspace,
                   const Cost& cost, Masses a, Masses b, const std::vector<L>* warm_g)
      : options_(options),
        group_(group),
        workspace_(workspace),
        rows_(agreed(cost, a, b, warm_g), workspace.points),
        device_(Passes::device_for(device, cost.size())),
        warm_(warm_g != nullptr) {
    workspace_.reserve(cost.rows, cost.cols, device_);
    throw_together(fault_of([&] { load(a, b, warm_g); }));
    add_up_masses();
    L seen[] = {L(summary_.forbidden), L(summary_.stranded_row), summary_.largest, summary_.maximum};
    group_.maximum(seen, 4);
    summary_.forbidden = seen[0] != 0;
    summary_.largest = seen[2];
    summary_.maximum = seen[3];
    if (warm_ && is_far_off(*warm_g)) {
      warm_ = false;
      Passes::fill(workspace_.g, rows_.cols, L(0));
      Passes::mask(workspace_.g, workspace_.b, rows_.cols);
      Passes::reduce(device_, rows_, workspace_);
    }
    const bool stranded_row = seen[1] != 0, stranded_column = reduce_columns();
    reduced_ = true;
    solvable_ = !(stranded_row && std::isinf(options_.rho_a)) && !(stranded_column && std::isinf(options_.rho_b));
    if (solvable_ && balanced() && summary_.forbidden) solvable_ = balance_parts();
  }

  [[nodiscard]] const CostRows& cost() const { return rows_; }
  [[nodiscard]] const Device& device() const { return device_; }
  [[nodiscard]] bool balanced() const { return std::isinf(options_.rho_a) && std::isinf(options_.rho_b); }
  /// False where no plan has the marginals and it can be told from what is connected with what.
  [[nodiscard]] bool solvable() const { return solvable_; }
  [[nodiscard]] bool forbids() const { return summary_.forbidden; }
  [[nodiscard]] L mass() const { return mass_; }
  [[nodiscard]] L mass_b() const { return mass_b_; }
  [[nodiscard]] L scale() const { return scale_; }

  /// Whether g is a start worth keeping.
  [[nodiscard]] bool warm() const { return warm_; }

  /// Base potentials of both sides from g.
  void reduce() {
    if (!reduced_) {
      Passes::reduce(device_, rows_, workspace_);
      reduce_columns();
    }
    reduced_ = false;
  }

  /// base_g_j = min_i (C_ij - f_i) over the rows of all processes.
  void find_column_minima() {
    Passes::column_minima(device_, rows_, workspace_);
    merge_minima();
  }

  /// Makes the column sums and what the rows' update did those of all processes.
  [[nodiscard]] FactorUpdate<L> merged(FactorUpdate<L> rows) {
    if (group_.size() == 1) return rows;
    group_.sum(workspace_.column_sums.data(), rows_.cols);
    group_.sum(&rows.residual, 1);
    group_.sum(&rows.mass, 1);
    const bool sound = rows.lowest > 0 && rows.highest < infinity;
    L seen[] = {sound ? -rows.lowest : L(0), sound ? rows.highest : infinity};
    group_.maximum(seen, 2);
    rows.lowest = -seen[0];
    rows.highest = seen[1];
    return rows;
  }

  [[nodiscard]] bool in_any_process(bool here) {
    L any = here ? L(1) : L(0);
    group_.maximum(&any, 1);
    return any != 0;
  }

  /// What to add to all f and take from all g for the dual to be largest, in an unbalanced problem: updates alone leave
  /// lambda_a lambda_b of it undone (Sejourne, Vialard, Peyre 2022, proposition 2).
  template <class Buffer>
  [[nodiscard]] L translation(const Buffer& f, const Buffer& g, L epsilon) {
    L kept_a = Passes::kept_mass(workspace_.row_mass, f, rows_.rows, epsilon, options_.rho_a);
    group_.sum(&kept_a, 1);
    const L kept_b = Passes::kept_mass(workspace_.col_mass, g, rows_.cols, epsilon, options_.rho_b);
    const L weight = 1 / (1 / static_cast<L>(options_.rho_a) + 1 / static_cast<L>(options_.rho_b));
    const L move = weight * std::log(kept_a / kept_b);
    return std::isfinite(move) ? move : L(0);
  }

  /// The parts of the dual's value that f and g have, without epsilon (sum P - sum a sum b).
  [[nodiscard]] L dual_sides(L epsilon) {
    L rows = Passes::dual_side(workspace_.a, workspace_.f, rows_.rows, epsilon, options_.rho_a);
    group_.sum(&rows, 1);
    return rows + Passes::dual_side(workspace_.b, workspace_.g, rows_.cols, epsilon, options_.rho_b);
  }

  /// Whether the dual's value exceeds what any plan with these marginals could cost: then there is none.
  [[nodiscard]] bool proves_infeasible(L epsilon) {
    if (!balanced() || !summary_.forbidden) return false;
    const L value = dual_sides(epsilon) - epsilon * (mass_ - mass_ * mass_b_);
    L largest = -Passes::smallest_mass(workspace_.a, rows_.rows);
    group_.maximum(&largest, 1);
    // KL(P | a b') = sum P log(P/(a b')) - mass + mass^2 with P_ij <= b_j.
    const L divergence = mass_ * -std::log(-largest) - mass_ + mass_ * mass_;
    const L bound = summary_.maximum * mass_ + epsilon * divergence;
    return value > bound + std::abs(bound) * L(1e-6) + epsilon * mass_;
  }

  [[nodiscard]] PlanSums<L> evaluate(L epsilon) {
    PlanSums<L> sums = Passes::evaluate(device_, rows_, epsilon, workspace_);
    for (L* const sum : {&sums.mass, &sums.cost, &sums.entropy, &sums.error_a, &sums.log_a, &sums.divergence_a})
      group_.sum(sum, 1);
    group_.sum(workspace_.column_sums.data(), rows_.cols);
    Passes::evaluate_columns(rows_.cols, workspace_, sums);
    return sums;
  }

 private:
  static constexpr L infinity = std::numeric_limits<L>::infinity();

  // Totals that differ by less are meant to be equal.
  static L slack() {
    return static_cast<L>(std::sqrt(std::ldexp(1.0, -std::min(std::numeric_limits<Scalar>::digits, 53))));
  }

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
    const bool any = in_any_process(!fault.empty());
    require(fault.empty(), fault);
    require(!any, "Sinkhorn::solve: a cost or masses that cannot be worked with found in another process of the group");
  }

  // The cost, when every process has shapes that fit.
  const Cost& agreed(const Cost& cost, Masses a, Masses b, const std::vector<L>* warm_g) {
    throw_together(fault_of([&] { check_sizes(cost, a, b, warm_g); }));
    const auto columns = static_cast<L>(cost.cols);
    L seen[] = {columns, -columns};
    group_.maximum(seen, 2);
    require(seen[0] == -seen[1], "Sinkhorn::solve: costs of ", -seen[1], " to ", seen[0],
            " columns found in the group's processes, the same number in each wanted");
    all_rows_ = static_cast<L>(cost.rows);
    group_.sum(&all_rows_, 1);
    require(all_rows_ > 0, "Sinkhorn::solve: no rows found in any process of the group, at least one wanted");
    return cost;
  }

  void check_sizes(const Cost& cost, Masses a, Masses b, const std::vector<L>* warm_g) const {
    require(cost.cols > 0 && (cost.rows > 0 || group_.size() > 1), "Sinkhorn::solve: cost of shape ", cost.rows, " x ",
            cost.cols, " found, at least 1 x 1 wanted");
    require(a.size == 0 || a.size == cost.rows, "Sinkhorn::solve: a of size ", a.size, " found, ", cost.rows,
            " (the rows of the cost) or 0 wanted");
    require(b.size == 0 || b.size == cost.cols, "Sinkhorn::solve: b of size ", b.size, " found, ", cost.cols,
            " (the columns of the cost) or 0 wanted");
    require(warm_g == nullptr || static_cast<Index>(warm_g->size()) == cost.cols,
            "Sinkhorn::solve: warm start with g of size ", warm_g == nullptr ? 0 : warm_g->size(), " found, ",
            cost.cols, " wanted");
  }

  // Masses, first potentials and what the cost's rows here say.
  void load(Masses a, Masses b, const std::vector<L>* warm_g) {
    const auto loaded = [](Masses masses, Index size, L missing, auto& buffer, const char* name) {
      const MassSummary<L> found = Passes::load_masses(masses, size, missing, buffer);
      require(found.bad < 0, "Sinkhorn::solve: ", name, "[", found.bad,
              "] = ", found.bad < 0 ? 0.0 : static_cast<double>(static_cast<Accumulator<Scalar>>(masses[found.bad])),
              " found, a finite mass >= 0 wanted");
      return found.total;
    };
    mass_ = loaded(a, rows_.rows, 1 / all_rows_, workspace_.a, "a");
    mass_b_ = loaded(b, rows_.cols, 1 / static_cast<L>(rows_.cols), workspace_.b, "b");
    Passes::fill(workspace_.g, rows_.cols, L(0));
    if (warm_) load_warm(*warm_g);
    Passes::mask(workspace_.g, workspace_.b, rows_.cols);
    summary_ = Passes::reduce(device_, rows_, workspace_);
    check(summary_);
    Passes::fill(workspace_.f, rows_.rows, -infinity);
  }

  void load_warm(const std::vector<L>& g) {
    for (const L potential : g)
      require(!std::isnan(potential) && potential < infinity, "Sinkhorn::solve: warm start with a potential ",
              potential, " found, finite or -inf wanted");
    Passes::load_potentials(g.data(), rows_.cols, workspace_.g);
    Passes::revive(workspace_.g, rows_.cols);
  }

  // An optimum's potentials differ by no more than the costs, give or take some epsilons; a constant that all of them
  // have costs precision.
  [[nodiscard]] bool is_far_off(const std::vector<L>& g) const {
    L lowest = infinity, highest = -infinity;
    for (const L potential : g) {
      if (potential == -infinity) continue;
      lowest = std::min(lowest, potential);
      highest = std::max(highest, potential);
    }
    const L usual = summary_.largest + 100 * static_cast<L>(options_.epsilon);
    return highest - lowest > 100 * usual || (balanced() && std::abs(highest) > 10'000 * usual);
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

  void add_up_masses() {
    group_.sum(&mass_, 1);
    for (const auto& [total, name] : {std::pair(mass_, "a"), std::pair(mass_b_, "b")})
      require(total > 0 && std::isfinite(total), "Sinkhorn::solve: ", name, " of total mass ", total,
              " found, a finite total > 0 wanted");
    if (!balanced()) return;
    require(std::abs(mass_ - mass_b_) <= slack() * mass_, "Sinkhorn::solve: masses of totals ", mass_, " (a) and ",
            mass_b_, " (b) found, the same wanted, or a finite rho_a or rho_b");
    constexpr int room = 24;
    using Limits = std::numeric_limits<L>;
    scale_ = std::ldexp(L(1), std::clamp(std::ilogb(mass_), Limits::min_exponent + room, Limits::max_exponent - room));
    for (auto* const masses : {&workspace_.a, &workspace_.row_mass}) Passes::scale(*masses, rows_.rows, 1 / scale_);
    Passes::scale(workspace_.b, rows_.cols, (mass_ / mass_b_) / scale_);
    mass_ /= scale_;
    mass_b_ = mass_;
  }

  void merge_minima() {
    if (group_.size() == 1) return;
    Passes::negate(workspace_.base_g, rows_.cols);
    group_.maximum(workspace_.base_g.data(), rows_.cols);
    Passes::negate(workspace_.base_g, rows_.cols);
  }

  // Whether a column with mass has no allowed partner.
  bool reduce_columns() {
    merge_minima();
    return Passes::reduce_columns(rows_.cols, workspace_);
  }

  // Forbidden pairs may leave parts that no allowed pair connects. Each is a problem of its own, whose totals must
  // agree: false where they do not. As of the whole, b's are made a's.
  bool balance_parts() {
    if (in_any_process(Passes::join_parts(rows_, workspace_))) return true;
    // A column's part is the lowest of those that the processes have it in, until all agree.
    if (group_.size() > 1) {
      do {
        Passes::offer_parts(rows_.cols, workspace_);
        group_.maximum(workspace_.next.data(), rows_.cols);
      } while (in_any_process(Passes::rejoin_parts(rows_.cols, workspace_)));
    }
    Passes::add_up_parts(rows_.rows, rows_.cols, workspace_);
    group_.sum(workspace_.column_sums.data(), rows_.cols);
    return Passes::balance_parts(rows_.cols, slack(), workspace_);
  }

  const SinkhornOptions& options_;
  Group group_;
  Workspace& workspace_;
  L all_rows_{};
  CostRows rows_;
  Device device_;
  CostSummary<L> summary_;
  L mass_{}, mass_b_{}, scale_{1};  // of all processes
  bool warm_, reduced_ = false, solvable_ = true;
};

}  // namespace swav::detail
