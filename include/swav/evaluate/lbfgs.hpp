// Limited-memory BFGS with a strong Wolfe line search (Nocedal and Wright, "Numerical optimization",
// algorithms 7.5, 3.5 and 3.6), for problems of some ten thousand unknowns. In: a differentiable function. Out: its
// minimum nearby.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace swav::detail {

struct LbfgsOptions {
  int max_iterations = 100;
  int history = 10;
  double gradient_tolerance = 1e-7;  ///< stop when no gradient entry is larger
  double change_tolerance = 1e-9;    ///< stop when neither the value nor any unknown changes by more
};

struct LbfgsResult {
  double value = 0;
  int iterations = 0;
  bool converged = false;  ///< stopped by a tolerance, or because no step lowers the value any more
};

/// Minimises objective(x, gradient) -> value from x, in place. The objective may be computed in lower precision than
/// double: a line search that noise keeps from its conditions ends at the best point it has seen.
template <class Objective>
class Lbfgs {
 public:
  Lbfgs(Objective& objective, std::vector<double>& x, LbfgsOptions options)
      : objective_(objective), x_(x), options_(options), gradient_(x.size()), direction_(x.size()), trial_(x.size()) {}

  LbfgsResult run() {
    LbfgsResult result;
    result.value = objective_(std::span<const double>(x_), std::span<double>(gradient_));
    for (; result.iterations < options_.max_iterations; ++result.iterations) {
      if (largest(gradient_) <= options_.gradient_tolerance) return converged(result);
      set_direction();
      double slope = dot(gradient_, direction_);
      if (!(slope < 0)) {  // the history no longer describes a convex function: start again from the gradient
        history_.clear();
        set_direction();
        slope = dot(gradient_, direction_);
      }
      const double first = history_.empty() ? std::min(1.0, 1.0 / absolute_sum(gradient_)) : 1.0;
      const Point found = search({0, result.value, slope, gradient_}, first);
      if (!(found.value < result.value)) return converged(result);
      const double change = std::abs(result.value - found.value);
      remember(found);
      result.value = found.value;
      if (change < options_.change_tolerance || found.step * largest(direction_) <= options_.change_tolerance) {
        ++result.iterations;
        return converged(result);
      }
    }
    return result;
  }

 private:
  /// A point of the line x + step direction.
  struct Point {
    double step = 0;
    double value = 0;
    double slope = 0;
    std::vector<double> gradient;
  };

  /// A step and the change of gradient it made.
  struct Pair {
    std::vector<double> step;
    std::vector<double> change;
    double inverse_curvature;
  };

  static constexpr double sufficient_decrease = 1e-4;
  static constexpr double curvature = 0.9;
  static constexpr int most_trials = 25;

  static LbfgsResult converged(LbfgsResult result) {
    result.converged = true;
    return result;
  }
  static double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  }
  static double largest(const std::vector<double>& a) {
    double most = 0;
    for (const double value : a) most = std::max(most, std::abs(value));
    return most;
  }
  static double absolute_sum(const std::vector<double>& a) {
    double sum = 0;
    for (const double value : a) sum += std::abs(value);
    return sum;
  }
  static void add(double factor, const std::vector<double>& a, std::vector<double>& to) {
    for (std::size_t i = 0; i < a.size(); ++i) to[i] += factor * a[i];
  }

  /// direction = -H gradient by the two-loop recursion (algorithm 7.4).
  void set_direction() {
    for (std::size_t i = 0; i < gradient_.size(); ++i) direction_[i] = -gradient_[i];
    if (history_.empty()) return;
    std::vector<double> weights(history_.size());
    for (std::size_t k = history_.size(); k-- > 0;) {
      weights[k] = history_[k].inverse_curvature * dot(history_[k].step, direction_);
      add(-weights[k], history_[k].change, direction_);
    }
    const Pair& last = history_.back();
    const double scale = 1 / (last.inverse_curvature * dot(last.change, last.change));
    for (double& entry : direction_) entry *= scale;
    for (std::size_t k = 0; k < history_.size(); ++k) {
      const double back = history_[k].inverse_curvature * dot(history_[k].change, direction_);
      add(weights[k] - back, history_[k].step, direction_);
    }
  }

  /// Moves to the point, and keeps the pair it gives if the curvature is positive.
  void remember(const Point& point) {
    Pair pair{direction_, point.gradient, 0};
    for (double& entry : pair.step) entry *= point.step;
    add(-1, gradient_, pair.change);
    add(point.step, direction_, x_);
    gradient_ = point.gradient;
    const double product = dot(pair.step, pair.change);
    if (!(product > 1e-10 * dot(pair.change, pair.change))) return;
    pair.inverse_curvature = 1 / product;
    if (static_cast<int>(history_.size()) == options_.history) history_.erase(history_.begin());
    history_.push_back(std::move(pair));
  }

  Point evaluate(double step) {
    for (std::size_t i = 0; i < x_.size(); ++i) trial_[i] = x_[i] + step * direction_[i];
    Point point{step, 0, 0, std::vector<double>(x_.size())};
    point.value = objective_(std::span<const double>(trial_), std::span<double>(point.gradient));
    point.slope = dot(point.gradient, direction_);
    return point;
  }

  /// A point that satisfies the strong Wolfe conditions, or the lowest one seen (algorithm 3.5).
  Point search(const Point& start, double first_step) {
    Point before = start;
    double step = first_step;
    for (int trial = 1; trial <= most_trials; ++trial) {
      Point point = evaluate(step);
      if (too_high(start, point) || (trial > 1 && point.value >= before.value))
        return zoom(start, std::move(before), std::move(point), most_trials - trial);
      if (std::abs(point.slope) <= -curvature * start.slope) return point;
      if (point.slope >= 0) return zoom(start, std::move(point), std::move(before), most_trials - trial);
      step = std::clamp(minimum_of_cubic(before, point), 1.1 * point.step, 10 * point.step);
      before = std::move(point);
    }
    return before;
  }

  /// Narrows the interval between `low`, the lowest point so far, and `high` (algorithm 3.6).
  Point zoom(const Point& start, Point low, Point high, int trials) {
    for (int trial = 0; trial < trials; ++trial) {
      const double least = std::min(low.step, high.step), most = std::max(low.step, high.step);
      const double margin = 0.1 * (most - least);
      if (margin * largest(direction_) <= 0.1 * options_.change_tolerance) break;
      Point point = evaluate(std::clamp(minimum_of_cubic(low, high), least + margin, most - margin));
      if (too_high(start, point) || point.value >= low.value) {
        high = std::move(point);
        continue;
      }
      if (std::abs(point.slope) <= -curvature * start.slope) return point;
      if (point.slope * (high.step - low.step) >= 0) high = std::move(low);
      low = std::move(point);
    }
    return low;
  }

  static bool too_high(const Point& start, const Point& point) {
    return !(point.value <= start.value + sufficient_decrease * point.step * start.slope);
  }

  /// Where the cubic through two points and slopes has its minimum (equation 3.59), or the middle if it has none.
  static double minimum_of_cubic(const Point& a, const Point& b) {
    const double d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step);
    const double square = d1 * d1 - a.slope * b.slope;
    if (!(square >= 0)) return 0.5 * (a.step + b.step);
    const double d2 = std::copysign(std::sqrt(square), b.step - a.step);
    const double step = b.step - (b.step - a.step) * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2);
    return std::isfinite(step) ? step : 0.5 * (a.step + b.step);
  }

  Objective& objective_;
  std::vector<double>& x_;
  LbfgsOptions options_;
  std::vector<double> gradient_;
  std::vector<double> direction_;
  std::vector<double> trial_;
  std::vector<Pair> history_;
};

template <class Objective>
LbfgsResult minimize_lbfgs(Objective& objective, std::vector<double>& x, LbfgsOptions options = {}) {
  return Lbfgs<Objective>(objective, x, options).run();
}

}  // namespace swav::detail
