// The over-relaxation factor of a Sinkhorn run. In: the error after each iteration. Out: the factor of the next.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "swav/core/host_device.hpp"

namespace swav::detail {

/// wanted (wanted/old)^(omega - 1), the power by Pade's approximant of orders 1 and 1: positive, and as the power is
/// near wanted = old, to third order, so that convergence is the same.
template <class T>
[[nodiscard]] SWAV_HOST_DEVICE T relaxed(T wanted, T old, T omega) {
  if (omega == T(1)) return wanted;
  return wanted * ((omega * wanted + (T(2) - omega) * old) / ((T(2) - omega) * wanted + omega * old));
}

/// Sinkhorn's iteration near its limit is a linear fixed-point iteration with some rate eta; over-relaxed by omega its
/// modes decay at the rates mu of successive over-relaxation, (mu + omega - 1)^2 = eta omega^2 mu, at best omega - 1
/// for omega = 2/(1 + sqrt(1 - eta)) (Young 1971; Lehmann, von Renesse, Sambale, Uschmajew 2022). Without a fixed
/// factor, eta is told from the rate observed, as often as that is slower than the best for the present factor. Far
/// from the limit, and where the error grows, the factor is 1: plain Sinkhorn converges from anywhere.
///
/// The error of an over-relaxed iterate is mostly its own overshoot: a plain iteration from there has up to
/// omega/(2 - omega) times less. So, once that could be the end, one is put in from time to time.
class Relaxation {
 public:
  SWAV_HOST_DEVICE explicit Relaxation(std::optional<double> fixed) : fixed_(fixed) { set_factor(fixed.value_or(1)); }

  /// The factor of the next iteration.
  [[nodiscard]] SWAV_HOST_DEVICE double factor() const { return plain_ > 0 ? 1.0 : factor_; }

  /// The factors of the iteration start anew. What is known of eta is kept.
  SWAV_HOST_DEVICE void restart() {
    observed_ = 0;
    plain_ = 1;
  }

  /// After an iteration: its error, the error at which the run ends, and the largest |log(updated/old)| of a factor.
  SWAV_HOST_DEVICE void observe(double error, double wanted, double largest_move) {
    plain_ = std::max(plain_ - 1, 0);
    if (!(largest_move < largest_move_wanted)) {
      restart();
      return;
    }
    if (plain_ > 0) return;
    if (observed_ == 0) first_error_ = error;
    // After a plain iteration the overshoot comes back before anything is wrong.
    if (factor_ > 1 && error * (2 - factor_) > 4 * factor_ * first_error_) {
      if (!fixed_) set_factor(1 + (factor_ - 1) / 2);
      observed_ = 0;
      plain_ = window_;
      return;
    }
    ++observed_;
    if (observed_ == window_) settled_error_ = error;
    if (observed_ < 2 * window_) return;
    if (!fixed_) adapt(std::pow(error / settled_error_, 1.0 / window_), error);
    if (factor_ > 1 && error * (2 - factor_) <= 2 * wanted) plain_ = 1;
    observed_ = 0;
  }

 private:
  static constexpr double largest_move_wanted = 1;

  SWAV_HOST_DEVICE void adapt(double rate, double error) {
    const double best = factor_ - 1;
    if (!(rate < 1) || rate <= best + (1 - best) * 0.05) return;
    const double eta = std::min((rate + best) * (rate + best) / (factor_ * factor_ * rate), 1 - 1e-8);
    const double found = 2 / (1 + std::sqrt(1 - eta));
    // Errors of an over-relaxed run swing, so that a few of them can look as if nothing converged.
    const double most = factor_ > 1 ? 1 + factor_ / 2 : 2;
    // The overshoot, omega/(2 - omega) times a plain iteration's error, is not to reach all of the mass: far from the
    // limit nothing leads back from there.
    const double plain = error * (2 - factor_) / factor_;
    set_factor(std::max(factor_, std::min({found, most, 2 / (1 + plain)})));
  }

  SWAV_HOST_DEVICE void set_factor(double factor) {
    factor_ = factor;
    window_ = std::clamp(static_cast<int>(1 / (2 - factor)), 4, 100);
  }

  std::optional<double> fixed_;
  double factor_ = 1, first_error_ = 0, settled_error_ = 0;
  int window_ = 4;  // iterations that a change of the factor is given before the rate is measured, and for measuring it
  int observed_ = 0;
  int plain_ = 1;  // iterations that are to be plain yet
};

}  // namespace swav::detail
