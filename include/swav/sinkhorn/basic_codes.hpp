// SwAV's codes by a few Sinkhorn iterations, free of any backend. In: scores, options, a device. Out: codes.
// Its public face is swav::Sinkhorn in solver.hpp.
#pragma once

#include <limits>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/options.hpp"
#include "swav/sinkhorn/passes.hpp"

namespace swav::detail {

/// What Sinkhorn::codes_into does. Owns the workspace.
template <class Scalar, class Device>
class CodesSolver {
  using A = Accumulator<Scalar>;
  using Passes = SinkhornPasses<Device>;

 public:
  CodesSolver(const SinkhornOptions& options, const Device& device) : options_(options), device_(device) {}

  static void check_shape(MatrixView<const Scalar> scores) {
    require(scores.rows > 0 && scores.cols > 0, "Sinkhorn: scores of shape ", scores.rows, " x ", scores.cols,
            " found, at least 1 x 1 wanted");
  }

  void codes_into(MatrixView<const Scalar> scores, MatrixView<Scalar> out) {
    require(options_.stabilization != Stabilization::absorption,
            "SinkhornOptions.stabilization: absorption found, automatic, scaling or log wanted for codes");
    check_shape(scores);
    require(out.rows == scores.rows && out.cols == scores.cols, "Sinkhorn::codes_into: out of shape ", out.rows, " x ",
            out.cols, " found, ", scores.rows, " x ", scores.cols, " wanted");
    workspace_.reserve(scores.rows, scores.cols, device_);
    const A inverse_epsilon = A(1) / static_cast<A>(options_.epsilon);
    const ScoreRange<A> range = Passes::range(device_, scores, workspace_);
    require(range.finite, "Sinkhorn: scores with a NaN or infinite entry found, finite scores wanted");

    const double span = (static_cast<double>(range.maximum) - static_cast<double>(range.minimum)) / options_.epsilon;
    if (options_.stabilization == Stabilization::scaling ||
        (options_.stabilization == Stabilization::automatic && fits_scaling(span, inverse_epsilon))) {
      if (scale(scores, out, range.maximum, inverse_epsilon, span)) return;
      require(options_.stabilization == Stabilization::automatic, "Sinkhorn: (max - min)/epsilon of the scores ", span,
              " found, at most about ", largest_span(), " wanted in the scaling domain");
    }
    solve_in_log_domain(scores, out, range.maximum);
  }

 private:
  [[nodiscard]] int iterations() const { return options_.max_iterations.value_or(3); }

  // exp(-span) must stay a normal number; e^-7 of room is left for sums over rows and columns.
  static constexpr double largest_span() { return 0.6931 * -std::numeric_limits<A>::min_exponent - 7; }
  // Below this span no intermediate of the scaling domain can leave the exponent range: u_b p_bk >= exp(-2 span).
  static constexpr double certain_span() { return largest_span() / 2; }

  static bool fits_scaling(double span, A inverse_epsilon) {
    return span <= largest_span() && inverse_epsilon <= std::numeric_limits<A>::max();
  }

  // False when the factors left the exponent range; `scores` are then as they were.
  bool scale(MatrixView<const Scalar> scores, MatrixView<Scalar> out, A maximum, A inverse_epsilon, double span) {
    if constexpr (ScalarTraits<Scalar>::stores_kernel) {
      // Where the factors may leave the range, `out` must not hold a kernel: the scores are wanted for the log domain,
      // or the caller's matrix as it was.
      const bool out_is_needed = scores.data == out.data || options_.stabilization == Stabilization::scaling;
      if (!out_is_needed || span <= certain_span())
        return scale_with_kernel(scores, out, out, maximum, inverse_epsilon);
      return scale_with_kernel(scores, kernel_in_workspace<Scalar>(scores, workspace_.scalar_kernel), out, maximum,
                               inverse_epsilon);
    } else {
      return scale_with_kernel(scores, kernel_in_workspace<A>(scores, workspace_.kernel), out, maximum,
                               inverse_epsilon);
    }
  }

  template <class T, class Buffer>
  static MatrixView<T> kernel_in_workspace(MatrixView<const Scalar> scores, Buffer& buffer) {
    return {buffer.reserve(scores.size()), scores.rows, scores.cols};
  }

  template <class Kernel>
  bool scale_with_kernel(MatrixView<const Scalar> scores, MatrixView<Kernel> kernel, MatrixView<Scalar> out, A maximum,
                         A inverse_epsilon) {
    Passes::make_kernel(device_, scores, maximum, inverse_epsilon, kernel, workspace_);
    if (!Passes::invert_column_sums(device_, scores.cols, workspace_)) return false;
    for (int iteration = 1; iteration < iterations(); ++iteration) {
      Passes::iterate(device_, kernel, workspace_);
      if (!Passes::invert_column_sums(device_, scores.cols, workspace_)) return false;
    }
    Passes::finish(device_, kernel, workspace_, out);
    return true;
  }

  void solve_in_log_domain(MatrixView<const Scalar> scores, MatrixView<Scalar> out, A maximum) {
    workspace_.reserve_log(scores.rows, scores.cols, device_);
    for (int iteration = 1; iteration <= iterations(); ++iteration) {
      Passes::log_columns(device_, scores, maximum, options_.epsilon, iteration == 1, workspace_);
      if (iteration < iterations()) Passes::log_rows(device_, scores, maximum, options_.epsilon, workspace_);
    }
    Passes::log_finish(device_, scores, maximum, options_.epsilon, workspace_, out);
  }

  SinkhornOptions options_;
  Device device_;
  typename Passes::template Workspace<Scalar> workspace_;
};

}  // namespace swav::detail
