// Sinkhorn's iterations for one small problem of a batch, as one element of work. In: its cost and masses. Out: its
// potentials and summary.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "swav/core/host_device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/batch_passes.hpp"
#include "swav/sinkhorn/exponents.hpp"

namespace swav::detail {

/// A problem's numbers in an array that is shared by `stride` problems: neighbours are neighbours' numbers.
template <class T>
struct LaneNumbers {
  T* first;
  Index stride;
  SWAV_HOST_DEVICE T& operator[](Index i) const { return first[i * stride]; }
};

/// What all problems of a call work in, of up to n rows and m columns each.
template <class T>
struct BatchNumbers {
  T *cost, *kernel;                 // n m
  T *a, *base_f, *u;                // n
  T *b, *base_g, *v, *next, *sums;  // m
  Index stride;

  static Index size(Index count, Index n, Index m) { return count * (2 * n * m + 3 * n + 5 * m); }

  BatchNumbers(Index count, Index n, Index m, T* memory) : stride(count) {
    const auto take = [&](Index numbers) {
      T* const start = memory;
      memory += numbers * count;
      return start;
    };
    cost = take(n * m);
    kernel = take(n * m);
    for (T** of_rows : {&a, &base_f, &u}) *of_rows = take(n);
    for (T** of_columns : {&b, &base_g, &v, &next, &sums}) *of_columns = take(m);
  }
};

/// One of a batch's problems. The steps are those of the CPU's passes.
template <class Scalar, class T>
class LaneOfBatch {
 public:
  SWAV_HOST_DEVICE LaneOfBatch(const BatchNumbers<T>& numbers, Index lane, const BatchProblem<Scalar>& problem,
                               const BatchSettings& settings, BatchRun& run, BatchSummary& summary, double* f,
                               double* g)
      : problem_(problem),
        settings_(settings),
        run_(run),
        summary_(summary),
        f_(f),
        g_(g),
        n_(problem.cost.rows),
        m_(problem.cost.cols),
        cost_{numbers.cost + lane, numbers.stride},
        kernel_{numbers.kernel + lane, numbers.stride},
        a_{numbers.a + lane, numbers.stride},
        base_f_{numbers.base_f + lane, numbers.stride},
        u_{numbers.u + lane, numbers.stride},
        b_{numbers.b + lane, numbers.stride},
        base_g_{numbers.base_g + lane, numbers.stride},
        v_{numbers.v + lane, numbers.stride},
        next_{numbers.next + lane, numbers.stride},
        sums_{numbers.sums + lane, numbers.stride} {}

  SWAV_HOST_DEVICE void solve(int iterations) {
    if (!load_masses() || !load_costs()) {
      run_.state = BatchRun::State::unsuited;
      return;
    }
    make_kernel();
    for (Index i = 0; i < n_; ++i) u_[i] = run_.iterations == 0 ? T(0) : static_cast<T>(f_[i]);
    for (Index j = 0; j < m_; ++j) v_[j] = run_.iterations == 0 ? b_[j] : static_cast<T>(g_[j]);
    iterate(iterations);
    if (run_.state == BatchRun::State::done) finish();
    if (run_.state != BatchRun::State::unfinished) return;
    for (Index i = 0; i < n_; ++i) f_[i] = static_cast<double>(u_[i]);
    for (Index j = 0; j < m_; ++j) g_[j] = static_cast<double>(v_[j]);
  }

 private:
  static constexpr T infinity = std::numeric_limits<T>::infinity();
  // Added to both sides of quotients: no mass over no mass is then 0 or 1, and no other quotient changes.
  static constexpr T tiny = std::numeric_limits<T>::min();
  // The square root of the range in which masses, and factors relative to them, may lie: their products are normal
  // numbers then.
  static constexpr T range = std::is_same_v<T, float> ? T(1e12) : T(1e80);

  static SWAV_HOST_DEVICE double number(Scalar x) { return static_cast<double>(static_cast<Accumulator<Scalar>>(x)); }
  static SWAV_HOST_DEVICE T larger(T x, T y) { return x > y ? x : y; }
  static SWAV_HOST_DEVICE T smaller(T x, T y) { return x < y ? x : y; }

  static SWAV_HOST_DEVICE double mass_of(VectorView<const Scalar> masses, Index size, Index i) {
    return masses.size == 0 ? 1.0 / static_cast<double>(size) : number(masses[i]);
  }
  /// The total; -1 where a mass is out of the range.
  static SWAV_HOST_DEVICE double total_of(VectorView<const Scalar> masses, Index size) {
    double total = 0;
    for (Index i = 0; i < size; ++i) {
      const double mass = mass_of(masses, size, i);
      if (!(mass == 0 || (mass * range >= 1 && mass <= range))) return -1;
      total += mass;
    }
    return total;
  }

  SWAV_HOST_DEVICE bool load_masses() {
    constexpr int digits = scalar_digits<Scalar>();
    const double rounding = std::ldexp(1.0, -(digits < 53 ? digits : 53));
    const double total_a = total_of(problem_.a, n_), total_b = total_of(problem_.b, m_);
    if (!(total_a > 0 && total_b > 0 && std::abs(total_a - total_b) <= std::sqrt(rounding) * total_a)) return false;
    const double scale = total_a / total_b;
    for (Index i = 0; i < n_; ++i) a_[i] = static_cast<T>(mass_of(problem_.a, n_, i));
    for (Index j = 0; j < m_; ++j) b_[j] = static_cast<T>(mass_of(problem_.b, m_, j) * scale);
    total_ = static_cast<T>(total_a);
    return true;
  }

  SWAV_HOST_DEVICE bool load_costs() {
    // Rounding of exponents, each a difference of costs over epsilon, that the tolerance does not notice; in double,
    // as much as Sinkhorn::solve has as well.
    const double largest = std::is_same_v<T, float>
                               ? settings_.tolerance * settings_.epsilon / 32 / std::numeric_limits<float>::epsilon()
                               : 1e100;
    bool sound = settings_.epsilon >= 1e-30 && settings_.epsilon <= 1e30;
    for (Index i = 0; i < n_; ++i)
      for (Index j = 0; j < m_; ++j) {
        const T cost = static_cast<T>(number(problem_.cost(i, j)));
        sound = sound && std::abs(cost) <= largest;
        cost_[i * m_ + j] = cost;
      }
    return sound;
  }

  // Base potentials (equation 26 of docs/sinkhorn.md) and the kernel of what they leave of the cost.
  SWAV_HOST_DEVICE void make_kernel() {
    for (Index j = 0; j < m_; ++j) base_g_[j] = infinity;
    for (Index i = 0; i < n_; ++i) {
      T lowest = infinity;
      for (Index j = 0; j < m_; ++j)
        if (b_[j] > 0) lowest = smaller(lowest, cost_[i * m_ + j]);
      base_f_[i] = a_[i] > 0 ? lowest : -infinity;
      for (Index j = 0; j < m_; ++j) base_g_[j] = smaller(base_g_[j], cost_[i * m_ + j] - base_f_[i]);
    }
    for (Index j = 0; j < m_; ++j)
      if (!(b_[j] > 0)) base_g_[j] = -infinity;
    const double most = static_cast<double>(std::numeric_limits<T>::max());
    const T inverse = static_cast<T>(1 / settings_.epsilon < most ? 1 / settings_.epsilon : most);
    for (Index i = 0; i < n_; ++i)
      for (Index j = 0; j < m_; ++j) {
        // In this order differences are exact where the kernel is large.
        const T exponent = (base_g_[j] - (cost_[i * m_ + j] - base_f_[i])) * inverse;
        kernel_[i * m_ + j] = std::exp(larger(exponent, lowest_exponent<T>()));
      }
  }

  SWAV_HOST_DEVICE void iterate(int iterations) {
    // Room for what float does to the potentials.
    const double wanted = std::is_same_v<T, float> ? 0.9 * settings_.tolerance : settings_.tolerance;
    for (int iteration = 0; iteration < iterations; ++iteration) {
      const T power = static_cast<T>(run_.relaxation.factor() - 1);
      T residual = update_rows(power);
      const Columns found = update_columns(power, residual);
      const T error = residual / total_;
      if (!(found.left <= 0 && error < infinity)) {
        run_.state = BatchRun::State::unsuited;
        return;
      }
      ++run_.iterations;
      const bool last = run_.iterations == settings_.max_iterations;
      const bool converged = (last || run_.iterations % settings_.check_interval == 0) && error <= wanted;
      if (converged || last) {
        run_.state = BatchRun::State::done;
        summary_.status = converged ? TransportStatus::converged : TransportStatus::max_iterations;
        return;
      }
      run_.relaxation.observe(static_cast<double>(error), wanted,
                              found.moved < 0 ? 0.0 : std::numeric_limits<double>::infinity());
      const LaneNumbers<T> before = v_;
      v_ = next_;
      next_ = before;
    }
  }

  // detail::relaxed(mass/product, factor, 1 + power) with one division, where `marginal` is factor times product.
  static SWAV_HOST_DEVICE T updated(T mass, T product, T marginal, T power) {
    return mass * (((T(1) + power) * mass + (T(1) - power) * marginal) /
                   (product * ((T(1) - power) * mass + (T(1) + power) * marginal) + tiny));
  }

  // u, and sums = K' u. Returns how far the row marginals are off: what relaxation leaves.
  SWAV_HOST_DEVICE T update_rows(T power) {
    T residual = 0;
    for (Index j = 0; j < m_; ++j) sums_[j] = 0;
    for (Index i = 0; i < n_; ++i) {
      T product = 0;
      for (Index j = 0; j < m_; ++j) product += kernel_[i * m_ + j] * v_[j];
      const T factor = updated(a_[i], product, product * u_[i], power);
      residual += std::abs(product * factor - a_[i]);
      for (Index j = 0; j < m_; ++j) sums_[j] += kernel_[i * m_ + j] * factor;
      u_[i] = factor;
    }
    return residual;
  }

  // `moved` is negative while all factors stay within e of what they were (before relaxation), `left` at most 0 while
  // they are within the range.
  struct Columns {
    T moved, left;
  };
  // next; adds how far the column marginals were off.
  SWAV_HOST_DEVICE Columns update_columns(T power, T& residual) {
    Columns found{-infinity, -infinity};
    const T e = static_cast<T>(2.718281828459045);
    for (Index j = 0; j < m_; ++j) {
      const T mass = b_[j], marginal = v_[j] * sums_[j], next = updated(mass, sums_[j], marginal, power);
      residual += std::abs(marginal - mass);
      found.moved = larger(found.moved, larger(mass - e * marginal, marginal - e * mass) - tiny);
      const T left = larger(next - range * mass, mass - range * next);
      found.left = left > found.left || left != left ? left : found.left;  // a NaN stays
      next_[j] = next;
    }
    return found;
  }

  struct Sums {
    T mass = 0, cost = 0;  // sum P, sum P C
    T error = 0;           // L1 of both marginals
    // With f~ = f - epsilon log a: sum_i r_i f~_i + sum_j c_j g~_j of the plan's marginals r, c; the same of a, b; and
    // sum_i r_i log a_i + sum_j c_j log b_j.
    T primal = 0, dual = 0, log_masses = 0;
  };

  // What TransportResult has.
  SWAV_HOST_DEVICE void finish() {
    const T epsilon = static_cast<T>(settings_.epsilon);
    Sums sums;
    for (Index j = 0; j < m_; ++j) sums_[j] = 0;
    for (Index i = 0; i < n_; ++i) {
      T row_sum = 0, row_cost = 0;
      for (Index j = 0; j < m_; ++j) {
        const T entry = u_[i] * kernel_[i * m_ + j] * v_[j];
        row_sum += entry;
        sums_[j] += entry;
        row_cost += entry * cost_[i * m_ + j];
      }
      sums.mass += row_sum;
      sums.cost += row_cost;
      f_[i] = static_cast<double>(add_marginal(a_[i], row_sum, u_[i], base_f_[i], epsilon, sums));
    }
    for (Index j = 0; j < m_; ++j)
      g_[j] = static_cast<double>(add_marginal(b_[j], sums_[j], v_[j], base_g_[j], epsilon, sums));
    const T excess = epsilon * (sums.mass - total_ * total_);
    summary_.converged = summary_.status == TransportStatus::converged;
    summary_.marginal_error = static_cast<double>(sums.error / total_);
    if (summary_.converged && !(summary_.marginal_error <= 2 * settings_.tolerance)) {
      run_.state = BatchRun::State::unsuited;
      return;
    }
    summary_.iterations = run_.iterations;
    summary_.mass = static_cast<double>(sums.mass);
    summary_.transport_cost = static_cast<double>(sums.cost);
    summary_.regularized_cost = static_cast<double>(sums.primal - excess);
    summary_.dual_cost = static_cast<double>(sums.dual - excess);
    summary_.entropy = static_cast<double>((sums.cost - sums.primal) / epsilon - sums.log_masses);
  }

  // Of one row or column. Returns its potential.
  static SWAV_HOST_DEVICE T add_marginal(T mass, T marginal, T factor, T base, T epsilon, Sums& sums) {
    const T log_mass = std::log(mass + tiny);
    const T scaled = (mass > 0 ? base : T(0)) + epsilon * std::log((factor + tiny) / (mass + tiny));
    sums.error += std::abs(marginal - mass);
    sums.primal += marginal * scaled;
    sums.dual += mass * scaled;
    sums.log_masses += marginal * log_mass;
    return mass > 0 ? scaled + epsilon * log_mass : -infinity;
  }

  const BatchProblem<Scalar>& problem_;
  const BatchSettings& settings_;
  BatchRun& run_;
  BatchSummary& summary_;
  double *f_, *g_;
  Index n_, m_;
  LaneNumbers<T> cost_, kernel_, a_, base_f_, u_, b_, base_g_, v_, next_, sums_;
  T total_ = 1;
};

/// All problems of a call; called with a problem's number.
template <class Scalar, class T>
struct SolveOfBatch {
  const BatchProblem<Scalar>* problems;
  BatchRun* runs;
  BatchSummary* summaries;
  double *f, *g;  // n and m a problem
  Index n, m;
  BatchNumbers<T> numbers;
  BatchSettings settings;
  int iterations;
  SWAV_HOST_DEVICE void operator()(Index lane) const {
    LaneOfBatch<Scalar, T>(numbers, lane, problems[lane], settings, runs[lane], summaries[lane], f + lane * n,
                           g + lane * m)
        .solve(iterations);
  }
};

}  // namespace swav::detail
