// A transport problem that is being solved, free of any backend. In: cost, masses, a warm start, a group of processes.
// Out: checked and loaded data; what is a sum or an extreme over the rows of all processes.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/comm/communicator.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/exponents.hpp"
#include "swav/sinkhorn/options.hpp"
#include "swav/sinkhorn/problem_parts.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav::detail {

/// The problem in a workspace, which outlives it. Every number that a decision is taken from is the same in all
/// processes of the group. The masses are divided by `scale`, a power of two near their total, so that totals may be
/// any. Of a balanced problem P is `scale` times the plan here, and f larger by epsilon log(scale); of another,
/// restore_scale brings back what was given.
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
        rows_(device, agreed(cost, a, b, warm_g), workspace.points),
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
    const bool stranded_row = seen[1] != 0, stranded_column = reduce_columns();
    reduced_ = true;
    solvable_ = !(stranded_row && std::isinf(options_.rho_a)) && !(stranded_column && std::isinf(options_.rho_b));
    if (solvable_ && balanced() && summary_.forbidden) solvable_ = balance_parts();
    if (warm_ && is_far_off(*warm_g)) start_cold();
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

  /// Gives up the potentials to start from.
  void start_cold() {
    warm_ = false;
    Passes::fill(device_, workspace_.g, rows_.cols, L(0));
    Passes::mask(device_, workspace_.g, workspace_.b, rows_.cols);
    find_bases();
    reduced_ = true;
  }

  /// Moves the first potentials of an unbalanced problem to where its iterations are at home: a constant of the cost is
  /// not for the marginal that is held less.
  void translate_start(L epsilon) {
    if (balanced()) return;
    if (warm_) {  // with a constant of their own
      translate_by(potential_shifts(epsilon).second);
      return;
    }
    Passes::base_potentials(device_, rows_.rows, rows_.cols, epsilon, workspace_);
    translate_by(translation(workspace_.f, workspace_.next, epsilon));
    Passes::fill(device_, workspace_.f, rows_.rows, -infinity);
  }

  /// Base potentials of both sides from g.
  void reduce() {
    if (!reduced_) find_bases();
    reduced_ = false;
  }

  /// base_g_j = min_i (C_ij - f_i) over the rows of all processes.
  void find_column_minima() {
    Passes::column_minima(device_, rows_, workspace_);
    merge_minima();
  }

  /// Makes the column sums and what the rows' update did those of all processes. A process that works alone gets what
  /// it gave: a backend may not have waited for it yet.
  template <class Update>
  [[nodiscard]] auto merged(const Update& of_rows) {
    if constexpr (std::is_same_v<Group, SelfCommunicator>)
      return of_rows;
    else
      return merged_of_all(of_rows);
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
    LogSum<L> kept_a = Passes::kept_mass(device_, workspace_.row_mass, f, rows_.rows, epsilon, options_.rho_a);
    L largest = kept_a.largest;
    group_.maximum(&largest, 1);
    kept_a.sum = kept_a.sum > 0 ? kept_a.sum * std::exp(kept_a.largest - largest) : L(0);
    group_.sum(&kept_a.sum, 1);
    const LogSum<L> kept_b = Passes::kept_mass(device_, workspace_.col_mass, g, rows_.cols, epsilon, options_.rho_b);
    const L weight = 1 / (1 / static_cast<L>(options_.rho_a) + 1 / static_cast<L>(options_.rho_b));
    const L move = weight * (largest - kept_b.largest + std::log(kept_a.sum / kept_b.sum));
    return std::isfinite(move) ? move : L(0);
  }

  /// The parts of the dual's value that f and g have, without epsilon (sum P - sum a sum b).
  [[nodiscard]] L dual_sides(L epsilon) {
    L rows = Passes::dual_side(device_, workspace_.a, workspace_.f, rows_.rows, epsilon, options_.rho_a);
    group_.sum(&rows, 1);
    return rows + Passes::dual_side(device_, workspace_.b, workspace_.g, rows_.cols, epsilon, options_.rho_b);
  }

  /// Whether the dual's value exceeds what any plan with these marginals could cost: then there is none.
  [[nodiscard]] bool proves_infeasible(L epsilon) {
    if (!balanced() || !summary_.forbidden) return false;
    const L value = dual_sides(epsilon) - epsilon * (mass_ - mass_ * mass_b_);
    L largest = -Passes::smallest_mass(device_, workspace_.a, rows_.rows);
    group_.maximum(&largest, 1);
    // KL(P | a b') = sum P log(P/(a b')) - mass + mass^2 with P_ij <= b_j.
    const L divergence = mass_ * -std::log(-largest) - mass_ + mass_ * mass_;
    const L bound = summary_.maximum * mass_ + epsilon * divergence;
    return value > bound + std::abs(bound) * L(1e-6) + epsilon * mass_;
  }

  /// Masses and potentials of an unbalanced problem as they are for the masses that were given.
  void restore_scale(L epsilon) {
    if (balanced() || scale_ == 1) return;
    for (auto* const masses : {&workspace_.a, &workspace_.row_mass})
      Passes::scale(device_, *masses, rows_.rows, scale_);
    for (auto* const masses : {&workspace_.b, &workspace_.col_mass})
      Passes::scale(device_, *masses, rows_.cols, scale_);
    const auto [shift_f, shift_g] = potential_shifts(epsilon);
    Passes::shift(device_, workspace_.f, rows_.rows, shift_f);
    Passes::shift(device_, workspace_.g, rows_.cols, shift_g);
    mass_ *= scale_;
    mass_b_ *= scale_;
    scale_ = 1;
  }

  [[nodiscard]] PlanSums<L> evaluate(L epsilon) {
    PlanSums<L> sums = Passes::evaluate(device_, rows_, epsilon, workspace_);
    for (L* const sum : {&sums.mass, &sums.cost, &sums.entropy, &sums.error_a, &sums.log_a, &sums.divergence_a})
      group_.sum(sum, 1);
    group_.sum(workspace_.column_sums.data(), rows_.cols);
    Passes::evaluate_columns(device_, rows_.cols, workspace_, sums);
    return sums;
  }

 private:
  FactorUpdate<L> merged_of_all(FactorUpdate<L> rows) {
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

  static constexpr L infinity = std::numeric_limits<L>::infinity();

  // Totals that differ by less are meant to be equal.
  static L slack() { return std::sqrt(rounding()); }
  static L rounding() {
    constexpr int digits = scalar_digits<Scalar>();
    return static_cast<L>(std::ldexp(1.0, -std::min(digits, 53)));
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
    const auto loaded = [this](Masses masses, Index size, L missing, auto& buffer, const char* name) {
      const MassSummary<L> found = Passes::load_masses(device_, masses, size, missing, buffer);
      require(found.bad < 0, "Sinkhorn::solve: ", name, "[", found.bad, "] = ", found.bad_mass,
              " found, a finite mass >= 0 wanted");
      return found.total;
    };
    mass_ = loaded(a, rows_.rows, 1 / all_rows_, workspace_.a, "a");
    mass_b_ = loaded(b, rows_.cols, 1 / static_cast<L>(rows_.cols), workspace_.b, "b");
    Passes::fill(device_, workspace_.g, rows_.cols, L(0));
    if (warm_) load_warm(*warm_g);
    Passes::mask(device_, workspace_.g, workspace_.b, rows_.cols);
    summary_ = Passes::reduce(device_, rows_, workspace_);
    check(summary_);
    Passes::fill(device_, workspace_.f, rows_.rows, -infinity);
  }

  void load_warm(const std::vector<L>& g) {
    for (const L potential : g)
      require(!std::isnan(potential) && potential < infinity, "Sinkhorn::solve: warm start with a potential ",
              potential, " found, finite or -inf wanted");
    Passes::copy_in(device_, g.data(), rows_.cols, workspace_.g);
    Passes::revive(device_, workspace_.g, rows_.cols);
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
    if (balanced())
      require(std::abs(mass_ - mass_b_) <= slack() * mass_, "Sinkhorn::solve: masses of totals ", mass_, " (a) and ",
              mass_b_, " (b) found, the same wanted, or a finite rho_a or rho_b");
    constexpr int room = 24;
    using Limits = std::numeric_limits<L>;
    scale_ = std::ldexp(L(1), std::clamp(std::ilogb(mass_), Limits::min_exponent + room, Limits::max_exponent - room));
    for (auto* const masses : {&workspace_.a, &workspace_.row_mass})
      Passes::scale(device_, *masses, rows_.rows, 1 / scale_);
    Passes::scale(device_, workspace_.b, rows_.cols, balanced() ? mass_ / mass_b_ / scale_ : 1 / scale_);
    mass_ /= scale_;
    mass_b_ = balanced() ? mass_ : mass_b_ / scale_;
  }

  // By how much f and g of an unbalanced problem are larger for the masses that were given: with s = scale, f by
  // (1 - lambda_a)/(1 - lambda_a lambda_b) epsilon log s, and g likewise.
  [[nodiscard]] std::pair<L, L> potential_shifts(L epsilon) const {
    const auto rest = [&](double rho) { return epsilon / (static_cast<L>(rho) + epsilon); };  // 1 - lambda
    const L rest_a = rest(options_.rho_a), rest_b = rest(options_.rho_b);
    const L move = epsilon * std::log(scale_) / (rest_a + rest_b - rest_a * rest_b);
    return {rest_a * move, rest_b * move};
  }

  // f gains what g loses.
  void translate_by(L move) {
    Passes::shift(device_, workspace_.base_f, rows_.rows, move);
    Passes::shift(device_, workspace_.base_g, rows_.cols, -move);
    Passes::shift(device_, workspace_.g, rows_.cols, -move);
  }

  void merge_minima() {
    if (group_.size() == 1) return;
    Passes::negate(device_, workspace_.base_g, rows_.cols);
    group_.maximum(workspace_.base_g.data(), rows_.cols);
    Passes::negate(device_, workspace_.base_g, rows_.cols);
  }

  void find_bases() {
    Passes::reduce(device_, rows_, workspace_);
    reduce_columns();
  }

  // Whether a column with mass has no allowed partner.
  bool reduce_columns() {
    merge_minima();
    return Passes::reduce_columns(device_, rows_.cols, workspace_);
  }

  // Forbidden pairs may leave parts that no allowed pair connects. Each is a problem of its own, whose totals must
  // agree: false where they do not. As of the whole, b's are made a's.
  bool balance_parts() {
    ProblemParts<L>& parts = workspace_.parts;
    parts.reset(rows_.rows, rows_.cols);
    if (in_any_process(Passes::join_parts(device_, rows_, workspace_))) return true;
    if (group_.size() > 1) {
      do {
        group_.maximum(parts.offer().data(), rows_.cols);
      } while (in_any_process(parts.rejoin()));
    }
    Passes::copy_out(device_, workspace_.row_mass, rows_.rows, parts.row_mass.data());
    Passes::copy_out(device_, workspace_.col_mass, rows_.cols, parts.col_mass.data());
    Passes::copy_out(device_, workspace_.b, rows_.cols, parts.b.data());
    group_.sum(parts.add_up_rows().data(), rows_.cols);
    if (!parts.balance(slack(), rounding() * all_rows_ * mass_)) return false;
    Passes::copy_in(device_, parts.col_mass.data(), rows_.cols, workspace_.col_mass);
    Passes::copy_in(device_, parts.b.data(), rows_.cols, workspace_.b);
    return true;
  }

  const SinkhornOptions& options_;
  Group group_;
  Workspace& workspace_;
  L all_rows_{};  // of all processes; set before rows_ is
  CostRows rows_;
  decltype(Passes::device_for(std::declval<const Device&>(), Index{})) device_;
  CostSummary<L> summary_;
  L mass_{}, mass_b_{}, scale_{1};  // of all processes
  bool warm_, reduced_ = false, solvable_ = true;
};

}  // namespace swav::detail
