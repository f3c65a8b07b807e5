// Many transport problems at once, free of any backend. In: the problems, options, a device. Out: a BatchResult. Its
// public face is swav::SinkhornBatch in batch.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <limits>
#include <mutex>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/sinkhorn/batch_passes.hpp"
#include "swav/sinkhorn/batch_result.hpp"
#include "swav/sinkhorn/options.hpp"
#include "swav/sinkhorn/solver.hpp"

namespace swav::detail {

/// The masses of a batch, in the arrangement of its costs; empty: uniform.
template <class Scalar>
struct BatchMasses {
  MatrixView<const Scalar> stacked;
  VectorView<const VectorView<const Scalar>> list;

  /// Those of problem k, `size` of them where they are stacked.
  [[nodiscard]] VectorView<const Scalar> of(Index k, Index size) const {
    if (stacked.rows > 0) return {stacked.row(k), size};
    return list.size > 0 ? list[k] : VectorView<const Scalar>();
  }
};

/// What SinkhornBatch::solve_into does, once the shapes are checked. Owns a solver a thread.
template <class Scalar, class Device>
class BatchSolver {
  using Result = BatchResult<Scalar, Device>;
  using Passes = BatchPasses<Device>;

 public:
  BatchSolver(const SinkhornOptions& options, const Device& device)
      : options_(options),
        device_(device),
        settings_{options.epsilon, solve_tolerance<Scalar>(options), solve_iterations(options), options.check_interval,
                  options.relaxation},
        side_by_side_(std::isinf(options.rho_a) && std::isinf(options.rho_b) && options.epsilon_start_factor == 1 &&
                      options.stabilization != Stabilization::log),
        single_(options.kernel_storage != KernelStorage::full && settings_.tolerance >= single_tolerance) {}

  /// `costs` are moved into the result.
  void solve_into(BatchCosts<Scalar>& costs, const BatchMasses<Scalar>& a, const BatchMasses<Scalar>& b,
                  Result& result) {
    const Index problems = costs.size();
    std::swap(result.costs_, costs);
    result.device_ = device_;
    result.epsilon = options_.epsilon;
    result.f.resize(static_cast<std::size_t>(result.costs_.row(problems)));
    result.g.resize(static_cast<std::size_t>(result.costs_.col(problems)));
    result.problems.resize(static_cast<std::size_t>(problems));
    if (problems == 0) return;

    // Problems are handed out some at a time, as they take different times. Which ones are side by side does not depend
    // on the threads.
    const Index entries = result.costs_.row(problems) / problems * (result.costs_.col(problems) / problems);
    const Index lanes = Passes::template lanes<float>;
    const Index chunk =
        (std::clamp(chunk_entries / std::max<Index>(entries, 1), Index{1}, problems / 64 + 1) + lanes - 1) / lanes *
        lanes;
    const int threads = device_.shares((problems + chunk - 1) / chunk);
    while (static_cast<int>(workers_.size()) < threads) workers_.emplace_back(options_, device_.of_share());
    std::atomic<Index> next{threads * chunk};
    Complaint complaint{problems};
    device_.for_shares(threads, [&](int share, Index, Index) {
      Worker& worker = workers_[static_cast<std::size_t>(share)];
      worker.runs.reserve(static_cast<std::size_t>(chunk));
      worker.unsuited.reserve(static_cast<std::size_t>(chunk));
      for (Index first = share * chunk; first < complaint.problem; first = next.fetch_add(chunk))
        solve_some(worker, first, std::min(problems, first + chunk), a, b, result, complaint);
    });
    require(complaint.problem == problems, "SinkhornBatch: problem ", complaint.problem.load(), ": ", complaint.text);
  }

 private:
  struct Worker {  // one thread's
    Worker(const SinkhornOptions& options, const Device& device_of_share)
        : device(device_of_share), solver(options, device) {
      result.errors.reserve(static_cast<std::size_t>(std::min(solve_iterations(options), 10'000)));
    }
    Device device;
    Sinkhorn<Scalar, Device> solver;
    TransportResult<Scalar, Device> result;
    typename Passes::template Workspace<float> single;
    typename Passes::template Workspace<double> full;
    std::vector<BatchRun> runs, unsuited;
  };
  // The first bad problem found, whichever thread finds it.
  struct Complaint {
    std::atomic<Index> problem;
    std::mutex mutex = {};
    std::string text = {};
  };
  static constexpr Index chunk_entries = 1 << 19;
  static constexpr double single_tolerance = 1e-4;

  void solve_some(Worker& worker, Index first, Index last, const BatchMasses<Scalar>& a, const BatchMasses<Scalar>& b,
                  Result& result, Complaint& complaint) {
    worker.runs.clear();
    for (Index k = first; k < last; ++k) {
      if (side_by_side_ && fits(problem(k, a, b, result)))
        worker.runs.push_back(new_run(k));
      else
        solve_alone(worker, k, a, b, result, complaint);
    }
    const BatchCosts<Scalar>& costs = result.costs_;
    if (!costs.one_shape())
      std::sort(worker.runs.begin(), worker.runs.end(), [&](const BatchRun& x, const BatchRun& y) {
        const auto order = [&](Index k) { return std::tuple(costs[k].rows, costs[k].cols, k); };
        return order(x.problem) < order(y.problem);
      });
    if constexpr (std::is_same_v<Accumulator<Scalar>, float>)
      if (single_) solve_side_by_side<float>(worker, worker.single, a, b, result);
    if constexpr (std::is_same_v<PotentialScalar<Scalar>, double>)
      solve_side_by_side<double>(worker, worker.full, a, b, result);
    for (const BatchRun& run : worker.runs) solve_alone(worker, run.problem, a, b, result, complaint);
  }

  // Leaves those of the worker's runs that are not suited, to begin again. Neighbours are brought together unless half
  // of what is computed for one of them would be padding. The longer runs have taken, the longer they go on before they
  // are brought together anew, which takes some iterations' time.
  template <class T>
  void solve_side_by_side(Worker& worker, typename Passes::template Workspace<T>& workspace,
                          const BatchMasses<Scalar>& a, const BatchMasses<Scalar>& b, Result& result) {
    constexpr int lanes = Passes::template lanes<T>;
    BatchProblem<Scalar> problems[lanes];
    BatchSummary summaries[lanes];
    worker.unsuited.clear();
    for (int iterations = 16; !worker.runs.empty(); iterations += iterations / 2) {
      for (std::size_t first = 0, count; first < worker.runs.size(); first += count) {
        BatchRun* const runs = worker.runs.data() + first;
        Index rows = 0, cols = 0, least = Passes::largest_entries;
        for (count = 0; count < lanes && first + count < worker.runs.size(); ++count) {
          problems[count] = problem(runs[count].problem, a, b, result);
          const MatrixView<const Scalar>& cost = problems[count].cost;
          rows = std::max(rows, cost.rows);
          cols = std::max(cols, cost.cols);
          least = std::min(least, cost.size());
          if (rows * cols > 2 * least) break;
        }
        Passes::solve(worker.device, problems, runs, static_cast<int>(count), settings_, iterations, workspace,
                      summaries);
        for (std::size_t lane = 0; lane < count; ++lane) {
          if (runs[lane].state == BatchRun::State::done) finish(runs[lane].problem, summaries[lane], result);
          if (runs[lane].state == BatchRun::State::unsuited) worker.unsuited.push_back(new_run(runs[lane].problem));
        }
      }
      std::erase_if(worker.runs, [](const BatchRun& run) { return run.state != BatchRun::State::unfinished; });
    }
    std::swap(worker.runs, worker.unsuited);
  }

  [[nodiscard]] BatchRun new_run(Index problem) const {
    return {.problem = problem, .relaxation = Relaxation(options_.relaxation)};
  }

  BatchProblem<Scalar> problem(Index k, const BatchMasses<Scalar>& a, const BatchMasses<Scalar>& b,
                               Result& result) const {
    const MatrixView<const Scalar> cost = result.costs_[k];
    return {cost, a.of(k, cost.rows), b.of(k, cost.cols), result.f.data() + result.costs_.row(k),
            result.g.data() + result.costs_.col(k)};
  }

  static bool fits(const BatchProblem<Scalar>& problem) {
    const MatrixView<const Scalar>& cost = problem.cost;
    return cost.size() > 0 && cost.size() <= Passes::largest_entries &&
           (problem.a.size == 0 || problem.a.size == cost.rows) && (problem.b.size == 0 || problem.b.size == cost.cols);
  }

  void solve_alone(Worker& worker, Index k, const BatchMasses<Scalar>& a, const BatchMasses<Scalar>& b, Result& result,
                   Complaint& complaint) {
    if (k >= complaint.problem) return;
    const BatchProblem<Scalar> problem = this->problem(k, a, b, result);
    TransportResult<Scalar, Device>& found = worker.result;
    try {
      worker.solver.solve_into(problem.cost, problem.a, problem.b, found);
    } catch (const InvalidInput& error) {
      const std::lock_guard lock(complaint.mutex);
      if (k >= complaint.problem) return;
      complaint.text = error.what();
      complaint.problem = k;
      return;
    }
    std::copy(found.f.begin(), found.f.end(), problem.f);
    std::copy(found.g.begin(), found.g.end(), problem.g);
    finish(k,
           {.status = found.status,
            .converged = found.converged,
            .iterations = found.iterations,
            .marginal_error = found.marginal_error,
            .mass = found.mass,
            .transport_cost = found.transport_cost,
            .regularized_cost = found.regularized_cost,
            .dual_cost = found.dual_cost,
            .entropy = found.entropy},
           result);
  }

  // Keeps the summary; no potential is left unset where there is padding.
  static void finish(Index k, const BatchSummary& summary, Result& result) {
    const BatchCosts<Scalar>& costs = result.costs_;
    const MatrixView<const Scalar> cost = costs[k];
    std::fill(result.f.data() + costs.row(k) + cost.rows, result.f.data() + costs.row(k + 1), -infinity);
    std::fill(result.g.data() + costs.col(k) + cost.cols, result.g.data() + costs.col(k + 1), -infinity);
    result.problems[static_cast<std::size_t>(k)] = summary;
  }

  static constexpr typename Result::Potential infinity = std::numeric_limits<typename Result::Potential>::infinity();

  SinkhornOptions options_;
  Device device_;
  BatchSettings settings_;
  bool side_by_side_, single_;  // whether the options allow it, and in float
  std::vector<Worker> workers_;
};

}  // namespace swav::detail
