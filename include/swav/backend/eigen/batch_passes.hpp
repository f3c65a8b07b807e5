// Small transport problems on the CPU, as many at once as a vector register has numbers. In: row-major costs. Out:
// potentials and summaries.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "swav/backend/eigen/device.hpp"
#include "swav/backend/eigen/transport_rows.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/batch_passes.hpp"

namespace swav {

template <class Product>
struct BatchPasses<BasicEigenDevice<Product>> {
  using Device = BasicEigenDevice<Product>;
  using Run = detail::BatchRun;

  template <class T>
  static constexpr int lanes = static_cast<int>(64 / sizeof(T));
  static constexpr Index largest_entries = 64 * 64;

  /// One number of each problem.
  template <class T>
  using Lanes = Eigen::Array<T, lanes<T>, 1>;

  /// What lies beyond a problem's own shape has no mass.
  template <class T>
  struct Workspace {
    template <class U>
    using Buffer = typename Device::template Buffer<U>;

    void reserve(Index n, Index m) {
      rows = n;
      cols = m;
      stride = m + (m + 1) % 2;
      cost.reserve(n * stride);
      kernel.reserve(n * stride);
      for (Buffer<Lanes<T>>* buffer : {&a, &base_f, &u, &last_u}) buffer->reserve(n);
      for (Buffer<Lanes<T>>* buffer : {&b, &base_g, &v, &next, &sums, &last_v}) buffer->reserve(m);
    }

    Index rows = 0, cols = 0;  // the largest n and m of all lanes
    Index stride = 0;          // of rows; odd: powers of two would put them all into the same places of a cache
    Buffer<Lanes<T>> cost, kernel;
    Buffer<Lanes<T>> a, base_f, u, last_u;
    Buffer<Lanes<T>> b, base_g, v, next, sums, last_v;  // last_u, last_v: at a problem's end
    Lanes<T> total;                                     // mass
  };

  template <class Scalar, class T>
  static void solve(const Device&, const BatchProblem<Scalar>* problems, Run* runs, int count,
                    const BatchSettings& settings, int iterations, Workspace<T>& w, BatchSummary* summaries) {
    load_masses(problems, runs, count, w);
    load_costs(problems, runs, count, settings, w);
    make_kernel(settings.epsilon, w);
    start(problems, runs, count, w);
    iterate(runs, count, settings, iterations, w, summaries);
    finish(problems, runs, count, settings, w, summaries);
  }

 private:
  template <class T>
  static constexpr T infinity = std::numeric_limits<T>::infinity();
  // Added to both sides of quotients: no mass over no mass is then 0 or 1, and no other quotient changes.
  template <class T>
  static constexpr T tiny = std::numeric_limits<T>::min();
  // The square root of the range in which masses, and factors relative to them, may lie: their products are normal
  // numbers then.
  template <class T>
  static constexpr T range = std::is_same_v<T, float> ? T(1e12) : T(1e80);
  static constexpr int block_rows = 4;

  template <class Scalar>
  static double number(Scalar x) {
    return static_cast<double>(static_cast<Accumulator<Scalar>>(x));
  }

  template <class T>
  static Lanes<T> where_mass(const Lanes<T>& masses, const Lanes<T>& value, T otherwise) {
    Lanes<T> result;
    for (int lane = 0; lane < lanes<T>; ++lane) result[lane] = masses[lane] > 0 ? value[lane] : otherwise;
    return result;
  }

  template <class Scalar, class T>
  static void load_masses(const BatchProblem<Scalar>* problems, Run* runs, int count, Workspace<T>& w) {
    Index n = 0, m = 0;
    for (int lane = 0; lane < count; ++lane) {
      n = std::max(n, problems[lane].cost.rows);
      m = std::max(m, problems[lane].cost.cols);
    }
    w.reserve(n, m);
    w.total.setOnes();
    std::fill_n(w.a.data(), n, Lanes<T>::Zero());
    std::fill_n(w.b.data(), m, Lanes<T>::Zero());
    bool sound = true;
    const auto load = [&](VectorView<const Scalar> masses, Index size, int lane, double scale, Lanes<T>* to) {
      double total = 0;
      for (Index i = 0; i < size; ++i) {
        const double mass = masses.size == 0 ? 1.0 / static_cast<double>(size) : number(masses[i]);
        if (!(mass == 0 || (mass * range<T> >= 1 && mass <= range<T>))) sound = false;
        to[i][lane] = static_cast<T>(mass * scale);
        total += mass;
      }
      return total;
    };
    constexpr int digits = scalar_digits<Scalar>();
    const double rounding = std::ldexp(1.0, -std::min(digits, 53));
    for (int lane = 0; lane < count; ++lane) {
      const BatchProblem<Scalar>& problem = problems[lane];
      sound = true;
      const double total_a = load(problem.a, problem.cost.rows, lane, 1, w.a.data());
      const double total_b = load(problem.b, problem.cost.cols, lane, 1, w.b.data());
      if (!sound || !(std::abs(total_a - total_b) <= std::sqrt(rounding) * total_a) || !(total_a > 0))
        runs[lane].state = Run::State::unsuited;
      else if (total_a != total_b)
        load(problem.b, problem.cost.cols, lane, total_a / total_b, w.b.data());
      w.total[lane] = static_cast<T>(total_a);
    }
  }

  template <class Scalar, class T>
  static void load_costs(const BatchProblem<Scalar>* problems, Run* runs, int count, const BatchSettings& settings,
                         Workspace<T>& w) {
    Lanes<T> highest = Lanes<T>::Zero(), zeros = Lanes<T>::Zero();
    for (Index i = 0; i < w.rows; ++i) {
      Lanes<T>* const to = w.cost.data() + i * w.stride;
      for (int lane = 0; lane < lanes<T>; ++lane) {
        Index j = 0;
        if (lane < count && i < problems[lane].cost.rows) {
          const MatrixView<const Scalar>& cost = problems[lane].cost;
          for (; j < cost.cols; ++j) to[j][lane] = static_cast<T>(number(cost(i, j)));
        }
        for (; j < w.cols; ++j) to[j][lane] = 0;
      }
      for (Index j = 0; j < w.cols; ++j) {
        highest = highest.max(to[j].abs());
        zeros += to[j] * T(0);  // NaN once there is anything that is not finite
      }
    }
    // Rounding of exponents, each a difference of costs over epsilon, that the tolerance does not notice; in double,
    // as much as Sinkhorn::solve has as well.
    const double largest = std::is_same_v<T, float>
                               ? settings.tolerance * settings.epsilon / 32 / std::numeric_limits<float>::epsilon()
                               : 1e100;
    const bool usual = settings.epsilon >= 1e-30 && settings.epsilon <= 1e30;
    for (int lane = 0; lane < count; ++lane)
      if (!(usual && zeros[lane] == 0 && highest[lane] <= largest)) runs[lane].state = Run::State::unsuited;
  }

  // Base potentials (equation 26 of docs/sinkhorn.md) and the kernel of what they leave of the cost.
  template <class T>
  static void make_kernel(double epsilon, Workspace<T>& w) {
    const Index n = w.rows, m = w.cols;
    Lanes<T>*const base_g = w.base_g.data(), *const closed = w.next.data();
    for (Index j = 0; j < m; ++j) {
      closed[j] = where_mass<T>(w.b.data()[j], Lanes<T>::Zero(), infinity<T>);
      base_g[j].setConstant(infinity<T>);
    }
    for (Index i = 0; i < n; ++i) {
      const Lanes<T>* const cost = w.cost.data() + i * w.stride;
      Lanes<T> lowest = Lanes<T>::Constant(infinity<T>);
      for (Index j = 0; j < m; ++j) lowest = lowest.min(cost[j] + closed[j]);
      const Lanes<T> base = where_mass<T>(w.a.data()[i], lowest, -infinity<T>);
      for (Index j = 0; j < m; ++j) base_g[j] = base_g[j].min(cost[j] - base);
      w.base_f.data()[i] = base;
    }
    for (Index j = 0; j < m; ++j) base_g[j] = where_mass<T>(w.b.data()[j], base_g[j], -infinity<T>);
    const T inverse = static_cast<T>(std::min(1 / epsilon, double(std::numeric_limits<T>::max())));
    for (Index i = 0; i < n; ++i) {
      const Lanes<T>* const cost = w.cost.data() + i * w.stride;
      const Lanes<T> base = w.base_f.data()[i];
      Lanes<T>* const kernel = w.kernel.data() + i * w.stride;
      // In this order differences are exact where the kernel is large.
      for (Index j = 0; j < m; ++j)
        kernel[j] = ((base_g[j] - (cost[j] - base)) * inverse).max(detail::lowest_exponent<T>());
      detail::ArrayMap<T> entries(kernel->data(), m * lanes<T>);
      detail::exponentiate(entries);
    }
  }

  template <class Scalar, class T>
  static void start(const BatchProblem<Scalar>* problems, Run* runs, int count, Workspace<T>& w) {
    for (Index i = 0; i < w.rows; ++i) w.u.data()[i].setZero();
    for (Index j = 0; j < w.cols; ++j) w.v.data()[j] = w.b.data()[j];
    for (int lane = 0; lane < count; ++lane) {
      if (runs[lane].iterations == 0) continue;
      const BatchProblem<Scalar>& problem = problems[lane];
      for (Index i = 0; i < problem.cost.rows; ++i) w.u.data()[i][lane] = static_cast<T>(problem.f[i]);
      for (Index j = 0; j < problem.cost.cols; ++j) w.v.data()[j][lane] = static_cast<T>(problem.g[j]);
    }
  }

  template <class T>
  static void iterate(Run* runs, int count, const BatchSettings& settings, int iterations, Workspace<T>& w,
                      BatchSummary* summaries) {
    const auto unfinished = [](const Run& run) { return run.state == Run::State::unfinished; };
    auto running = std::count_if(runs, runs + count, unfinished);
    // Room for what float does to the potentials.
    const double wanted = std::is_same_v<T, float> ? 0.9 * settings.tolerance : settings.tolerance;
    Lanes<T> power = Lanes<T>::Zero();
    for (int iteration = 0; iteration < iterations && running > 0; ++iteration) {
      for (int lane = 0; lane < count; ++lane) power[lane] = static_cast<T>(runs[lane].relaxation.factor() - 1);
      Lanes<T> error = update_rows(power, w);
      const auto [moved, left] = update_columns(power, w, error);
      error /= w.total;
      for (int lane = 0; lane < count; ++lane) {
        Run& run = runs[lane];
        if (!unfinished(run)) continue;
        const double own_error = static_cast<double>(error[lane]);
        if (!(left[lane] <= 0 && error[lane] < infinity<T>)) {
          run.state = Run::State::unsuited;
          --running;
          continue;
        }
        ++run.iterations;
        const bool last = run.iterations == settings.max_iterations;
        const bool converged = (last || run.iterations % settings.check_interval == 0) && own_error <= wanted;
        if (!converged && !last) {
          run.relaxation.observe(own_error, wanted, moved[lane] < 0 ? 0.0 : infinity<double>);
          continue;
        }
        run.state = Run::State::done;
        --running;
        summaries[lane].status = converged ? TransportStatus::converged : TransportStatus::max_iterations;
        for (Index i = 0; i < w.rows; ++i) w.last_u.data()[i][lane] = w.u.data()[i][lane];
        for (Index j = 0; j < w.cols; ++j) w.last_v.data()[j][lane] = w.v.data()[j][lane];
      }
      std::swap(w.v, w.next);
    }
  }

  // detail::relaxed(mass/product, factor, 1 + power) with one division, where `marginal` is factor times product.
  template <class T>
  static Lanes<T> updated(const Lanes<T>& mass, const Lanes<T>& product, const Lanes<T>& marginal,
                          const Lanes<T>& power) {
    return mass * (((T(1) + power) * mass + (T(1) - power) * marginal) /
                   (product * ((T(1) - power) * mass + (T(1) + power) * marginal) + tiny<T>));
  }

  // u, and sums = K' u. Returns how far the row marginals are off: what relaxation leaves.
  template <class T>
  static Lanes<T> update_rows(const Lanes<T>& power, Workspace<T>& w) {
    const Index n = w.rows, m = w.cols, stride = w.stride;
    Lanes<T>*const sums = w.sums.data(), *const u = w.u.data();
    const Lanes<T>* const v = w.v.data();
    for (Index j = 0; j < m; ++j) sums[j].setZero();
    Lanes<T> residual = Lanes<T>::Zero();
    Index i = 0;
    const auto block = [&]<int rows>(std::integral_constant<int, rows>) {
      const Lanes<T>* const kernel = w.kernel.data() + i * stride;
      Lanes<T> products[rows];
      for (int r = 0; r < rows; ++r) products[r].setZero();
      for (Index j = 0; j < m; ++j)
        for (int r = 0; r < rows; ++r) products[r] += kernel[r * stride + j] * v[j];
      for (int r = 0; r < rows; ++r) {
        const Lanes<T>& mass = w.a.data()[i + r];
        u[i + r] = updated<T>(mass, products[r], products[r] * u[i + r], power);
        residual += (products[r] * u[i + r] - mass).abs();
      }
      for (Index j = 0; j < m; ++j) {
        Lanes<T> sum = sums[j];
        for (int r = 0; r < rows; ++r) sum += kernel[r * stride + j] * u[i + r];
        sums[j] = sum;
      }
      i += rows;
    };
    while (i + block_rows <= n) block(std::integral_constant<int, block_rows>());
    while (i < n) block(std::integral_constant<int, 1>());
    return residual;
  }

  // next; adds how far the column marginals were off. `moved` is negative while all factors stay within e of what they
  // were (before relaxation), `left` at most 0 while they are within the range.
  template <class T>
  static auto update_columns(const Lanes<T>& power, Workspace<T>& w, Lanes<T>& residual) {
    struct {
      Lanes<T> moved, left;
    } found{Lanes<T>::Constant(-infinity<T>), Lanes<T>::Constant(-infinity<T>)};
    const T e = static_cast<T>(2.718281828459045);
    for (Index j = 0; j < w.cols; ++j) {
      const Lanes<T>&mass = w.b.data()[j], &sum = w.sums.data()[j];
      const Lanes<T> marginal = w.v.data()[j] * sum;
      const Lanes<T> next = updated<T>(mass, sum, marginal, power);
      residual += (marginal - mass).abs();
      found.moved = found.moved.max((mass - e * marginal).max(marginal - e * mass) - tiny<T>);
      found.left = found.left.max((next - range<T> * mass).max(mass - range<T> * next));
      w.next.data()[j] = next;
    }
    return found;
  }

  template <class T>
  struct Sums {
    Lanes<T> mass = Lanes<T>::Zero(), cost = Lanes<T>::Zero();  // sum P, sum P C
    Lanes<T> error = Lanes<T>::Zero();                          // L1 of both marginals
    // With f~ = f - epsilon log a: sum_i r_i f~_i + sum_j c_j g~_j of the plan's marginals r, c; the same of a, b; and
    // sum_i r_i log a_i + sum_j c_j log b_j.
    Lanes<T> primal = Lanes<T>::Zero(), dual = Lanes<T>::Zero(), log_masses = Lanes<T>::Zero();
  };

  // What TransportResult has, of each problem that is done; the factors of those that are not.
  template <class Scalar, class T>
  static void finish(const BatchProblem<Scalar>* problems, Run* runs, int count, const BatchSettings& settings,
                     Workspace<T>& w, BatchSummary* summaries) {
    const T epsilon = static_cast<T>(settings.epsilon);
    Lanes<T>*const column_sums = w.sums.data(), *const f = w.base_f.data(), *const g = w.base_g.data();
    for (Index j = 0; j < w.cols; ++j) column_sums[j].setZero();
    Sums<T> sums;
    for (Index i = 0; i < w.rows; ++i) {
      const Lanes<T>*const kernel = w.kernel.data() + i * w.stride, *const cost = w.cost.data() + i * w.stride;
      const Lanes<T> u = w.last_u.data()[i];
      Lanes<T> row_sum = Lanes<T>::Zero(), row_cost = Lanes<T>::Zero();
      for (Index j = 0; j < w.cols; ++j) {
        const Lanes<T> entry = u * kernel[j] * w.last_v.data()[j];
        row_sum += entry;
        column_sums[j] += entry;
        row_cost += entry * cost[j];
      }
      sums.mass += row_sum;
      sums.cost += row_cost;
      f[i] = add_marginal<T>(w.a.data()[i], row_sum, u, f[i], epsilon, sums);
    }
    for (Index j = 0; j < w.cols; ++j)
      g[j] = add_marginal<T>(w.b.data()[j], column_sums[j], w.last_v.data()[j], g[j], epsilon, sums);
    const Lanes<T> excess = epsilon * (sums.mass - w.total * w.total), error = sums.error / w.total,
                   entropy = (sums.cost - sums.primal) / epsilon - sums.log_masses;
    const auto write = [&](const BatchProblem<Scalar>& problem, int lane, const Lanes<T>* of_rows,
                           const Lanes<T>* of_cols) {
      for (Index i = 0; i < problem.cost.rows; ++i) problem.f[i] = of_rows[i][lane];
      for (Index j = 0; j < problem.cost.cols; ++j) problem.g[j] = of_cols[j][lane];
    };
    for (int lane = 0; lane < count; ++lane) {
      BatchSummary& summary = summaries[lane];
      summary.converged = summary.status == TransportStatus::converged;
      if (runs[lane].state == Run::State::unfinished) write(problems[lane], lane, w.u.data(), w.v.data());
      if (runs[lane].state != Run::State::done) continue;
      if (summary.converged && !(error[lane] <= 2 * settings.tolerance)) {
        runs[lane].state = Run::State::unsuited;
        continue;
      }
      write(problems[lane], lane, f, g);
      summary.iterations = runs[lane].iterations;
      summary.marginal_error = error[lane];
      summary.mass = sums.mass[lane];
      summary.transport_cost = sums.cost[lane];
      summary.regularized_cost = sums.primal[lane] - excess[lane];
      summary.dual_cost = sums.dual[lane] - excess[lane];
      summary.entropy = entropy[lane];
    }
  }

  // Of one row or column. Returns its potential.
  template <class T>
  static Lanes<T> add_marginal(const Lanes<T>& mass, const Lanes<T>& marginal, const Lanes<T>& factor,
                               const Lanes<T>& base, T epsilon, Sums<T>& sums) {
    const Lanes<T> log_mass = (mass + tiny<T>).log();
    const Lanes<T> scaled = where_mass<T>(mass, base, T(0)) + epsilon * ((factor + tiny<T>) / (mass + tiny<T>)).log();
    sums.error += (marginal - mass).abs();
    sums.primal += marginal * scaled;
    sums.dual += mass * scaled;
    sums.log_masses += marginal * log_mass;
    return where_mass<T>(mass, scaled + epsilon * log_mass, -infinity<T>);
  }
};

}  // namespace swav
