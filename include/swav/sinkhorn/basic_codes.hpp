// SwAV's codes by a few Sinkhorn iterations, free of any backend. In: scores, options, a device, a group of processes.
// Out: codes.
// Its public face is swav::Sinkhorn in solver.hpp.
#pragma once

#include <limits>
#include <string>

#include "swav/comm/communicator.hpp"
#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/options.hpp"
#include "swav/sinkhorn/passes.hpp"

namespace swav::detail {

/// Throws InvalidInput unless `out` can have the codes of the last rows of `scores`; those may be none where other
/// processes have some.
template <class Scalar>
void check_codes(const SinkhornOptions& options, MatrixView<const Scalar> scores, MatrixView<Scalar> out,
                 bool may_be_empty) {
  using A = Accumulator<Scalar>;
  require(options.stabilization != Stabilization::absorption,
          "SinkhornOptions.stabilization: absorption found, automatic, scaling or log wanted for codes");
  check_view("Sinkhorn: scores", scores);
  check_view("Sinkhorn: out", out);
  require(scores.cols > 0 && (scores.rows > 0 || may_be_empty), "Sinkhorn: scores of shape ", scores.rows, " x ",
          scores.cols, " found, at least 1 x 1 wanted");
  require(out.rows <= scores.rows && out.cols == scores.cols, "Sinkhorn: out of shape ", out.rows, " x ", out.cols,
          " found, that of the scores, ", scores.rows, " x ", scores.cols, ", or fewer rows wanted");
  require(out.data != scores.data || out.stride == scores.stride, "Sinkhorn: out with the scores' memory and stride ",
          out.stride, " found, the scores' stride ", scores.stride, " wanted");
  const auto masses = static_cast<Index>(options.prototype_masses.size());
  require(masses == 0 || masses == scores.cols, "SinkhornOptions.prototype_masses: ", masses,
          " found, none or the scores' ", scores.cols, " columns wanted");
  require(options.stabilization != Stabilization::scaling ||
              A(1) / static_cast<A>(options.epsilon) <= std::numeric_limits<A>::max(),
          "SinkhornOptions.epsilon: ", options.epsilon,
          " found, one whose reciprocal is in the scalar's range wanted for the scaling domain");
}

/// What Sinkhorn::codes_into and codes_of_last_into do. Owns the workspace. Every decision that leads to a collective
/// call of the group is taken from numbers that all of it have alike. A backend whose work is not to be waited for,
/// where nothing can be decided on the host, specialises it for its device.
template <class Scalar, class Device, class Group>
class CodesSolver {
  using A = Accumulator<Scalar>;
  using Wide = PotentialScalar<Scalar>;
  using Passes = SinkhornPasses<Device>;

 public:
  CodesSolver(const SinkhornOptions& options, const Device& device, const Group& group)
      : options_(options), device_(device), group_(group) {}

  void set_epsilon(double epsilon) { options_.epsilon = epsilon; }

  /// `out` gets the codes of the last out.rows rows.
  void codes_into(MatrixView<const Scalar> scores, MatrixView<Scalar> out) {
    std::string fault;  // what is wrong here must be known to all before it is thrown
    ScoreRange<A> range;
    try {
      check_codes(options_, scores, out, group_.size() > 1);
      workspace_.reserve(scores.rows, scores.cols, device_);
      range = Passes::range(device_, scores, workspace_);
      require(range.finite, "Sinkhorn: scores with a NaN or infinite entry found, finite scores wanted");
    } catch (const InvalidInput& error) {
      fault = error.what();
    }
    const A samples = agree(scores, range, fault);
    Passes::set_column_masses(device_, options_.prototype_masses.empty() ? nullptr : options_.prototype_masses.data(),
                              scores.cols, workspace_);

    const double span = (static_cast<double>(range.maximum) - static_cast<double>(range.minimum)) / options_.epsilon;
    const bool scaling = options_.stabilization == Stabilization::scaling ||
                         (options_.stabilization == Stabilization::automatic && fits_scaling(span, inverse_epsilon()));
    if (!scaling || !scale(scores, out, range.maximum, inverse_epsilon(), samples, span)) {
      require(options_.stabilization != Stabilization::scaling, "Sinkhorn: (max - min)/epsilon of the scores ", span,
              " found, at most about ", largest_span(), " wanted in the scaling domain");
      solve_in_log_domain(scores, out, range.maximum, samples);
    }
    if (options_.hard_codes) Passes::harden(device_, workspace_, out);
  }

  [[nodiscard]] int iterations() const { return options_.max_iterations.value_or(3); }

  [[nodiscard]] A inverse_epsilon() const { return A(1) / static_cast<A>(options_.epsilon); }

  // Makes the range that of all processes and returns their number of rows; throws in each when there is a fault in
  // any.
  A agree(MatrixView<const Scalar> scores, ScoreRange<A>& range, const std::string& fault) const {
    constexpr Wide least = std::numeric_limits<Wide>::lowest();
    const bool sound = fault.empty();
    const auto columns = static_cast<Wide>(scores.cols);
    Wide seen[] = {sound ? static_cast<Wide>(range.maximum) : least, sound ? -static_cast<Wide>(range.minimum) : least,
                   columns, -columns, Wide(!sound)};
    group_.maximum(seen, 5);
    auto samples = static_cast<Wide>(scores.rows);
    group_.sum(&samples, 1);
    require(sound, fault);
    if (seen[4] != 0)
      throw InvalidElsewhere("Sinkhorn: scores that cannot be worked with found in another process of the group");
    require(seen[2] == -seen[3], "Sinkhorn: scores of ", -seen[3], " to ", seen[2],
            " columns found in the group's processes, the same number in each wanted");
    require(samples > 0, "Sinkhorn: no scores found in any process of the group, at least one row wanted");
    range.maximum = static_cast<A>(seen[0]);
    range.minimum = static_cast<A>(-seen[1]);
    return static_cast<A>(samples);
  }

  // exp(-span) must stay a normal number; e^-7 of room is left for sums over rows and columns.
  static constexpr double largest_span() { return 0.6931 * -std::numeric_limits<A>::min_exponent - 7; }
  // Below this span no intermediate of the scaling domain can leave the exponent range: u_b p_bk >= exp(-2 span).
  static constexpr double certain_span() { return largest_span() / 2; }

  static bool fits_scaling(double span, A reciprocal) {
    return span <= largest_span() && reciprocal <= std::numeric_limits<A>::max();
  }

  // False when the factors left the exponent range; `scores` are then as they were.
  bool scale(MatrixView<const Scalar> scores, MatrixView<Scalar> out, A maximum, A reciprocal, A samples, double span) {
    if constexpr (ScalarTraits<Scalar>::stores_kernel) {
      // Where the factors may leave the range, `out` must not hold a kernel: the scores are wanted for the log domain,
      // or the caller's matrix as it was.
      const bool out_is_needed = scores.data == out.data || options_.stabilization == Stabilization::scaling;
      const bool out_can_hold = out.rows == scores.rows && (!out_is_needed || span <= certain_span());
      const MatrixView<Scalar> kernel =
          out_can_hold ? out : kernel_in_workspace<Scalar>(scores, workspace_.scalar_kernel);
      return scale_with_kernel(scores, kernel, out, maximum, reciprocal, samples);
    } else {
      return scale_with_kernel(scores, kernel_in_workspace<A>(scores, workspace_.kernel), out, maximum, reciprocal,
                               samples);
    }
  }

  template <class T, class Buffer>
  static MatrixView<T> kernel_in_workspace(MatrixView<const Scalar> scores, Buffer& buffer) {
    return {buffer.reserve(scores.size()), scores.rows, scores.cols};
  }

  template <class Kernel>
  bool scale_with_kernel(MatrixView<const Scalar> scores, MatrixView<Kernel> kernel, MatrixView<Scalar> out, A maximum,
                         A reciprocal, A samples) {
    Passes::make_kernel(device_, scores, maximum, reciprocal, kernel, workspace_);
    group_.sum(workspace_.column_sums.data(), scores.cols);
    if (!Passes::invert_column_sums(device_, scores.cols, workspace_)) return false;
    for (int iteration = 1; iteration < iterations(); ++iteration) {
      Passes::iterate(device_, kernel, samples, workspace_);
      group_.sum(workspace_.column_sums.data(), scores.cols);
      if (!Passes::invert_column_sums(device_, scores.cols, workspace_)) return false;
    }
    Passes::finish(device_, kernel.middle_rows(scores.rows - out.rows, out.rows), workspace_, out);
    return true;
  }

  void solve_in_log_domain(MatrixView<const Scalar> scores, MatrixView<Scalar> out, A maximum, A samples) {
    workspace_.reserve_log(scores.rows, scores.cols, device_);
    for (int iteration = 1; iteration <= iterations(); ++iteration) {
      Passes::log_columns(device_, scores, maximum, options_.epsilon, iteration == 1, workspace_);
      if (group_.size() > 1) Passes::log_merge(device_, group_, scores.cols, workspace_);
      Passes::log_column_potentials(device_, scores.cols, workspace_);
      if (iteration < iterations()) Passes::log_rows(device_, scores, maximum, options_.epsilon, samples, workspace_);
    }
    Passes::log_finish(device_, scores.middle_rows(scores.rows - out.rows, out.rows), maximum, options_.epsilon,
                       workspace_, out);
  }

  SinkhornOptions options_;
  Device device_;
  Group group_;
  typename Passes::template Workspace<Scalar> workspace_;
};

}  // namespace swav::detail
