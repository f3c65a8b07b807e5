// Many transport problems at once, free of any backend. In: the problems, options, a device. Out: a BatchResult. Its
// public face is swav::SinkhornBatch in batch.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <limits>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
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

 public:
  BatchSolver(const SinkhornOptions& options, const Device& device) : options_(options), device_(device) {}

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

    const Index entries = result.costs_.row(problems) * result.costs_.col(problems) / (problems * problems);
    const Index chunk = std::clamp<Index>(chunk_entries / std::max<Index>(entries, 1), 1, problems);
    const int threads = device_.shares((problems + chunk - 1) / chunk);
    while (static_cast<int>(workers_.size()) < threads) workers_.emplace_back(options_);
    // Problems are handed out a few at a time, as they take different times.
    std::atomic<Index> next{threads * chunk};
    Complaint complaint{problems};
    device_.for_shares(threads, [&](int share, Index, Index) {
      Worker& worker = workers_[static_cast<std::size_t>(share)];
      for (Index first = share * chunk; first < problems; first = next.fetch_add(chunk))
        solve_some(worker, first, std::min(problems, first + chunk), a, b, result, complaint);
    });
    require(complaint.problem == problems, "SinkhornBatch: problem ", complaint.problem.load(), ": ", complaint.text);
  }

 private:
  struct Worker {  // one thread's
    explicit Worker(const SinkhornOptions& options) : solver(options, Device(1)) {
      result.errors.reserve(static_cast<std::size_t>(std::min(options.max_iterations.value_or(10'000), 10'000)));
    }
    Sinkhorn<Scalar, Device> solver;
    TransportResult<Scalar, Device> result;
  };
  // The first bad problem found, whichever thread finds it.
  struct Complaint {
    std::atomic<Index> problem;
    std::mutex mutex;
    std::string text;
  };
  static constexpr Index chunk_entries = 1 << 17;

  void solve_some(Worker& worker, Index first, Index last, const BatchMasses<Scalar>& a, const BatchMasses<Scalar>& b,
                  Result& result, Complaint& complaint) {
    for (Index k = first; k < last && k < complaint.problem; ++k) {
      try {
        const MatrixView<const Scalar> cost = result.costs_[k];
        worker.solver.solve_into(cost, a.of(k, cost.rows), b.of(k, cost.cols), worker.result);
        store(worker.result, k, result);
      } catch (const InvalidInput& error) {
        const std::lock_guard lock(complaint.mutex);
        if (k >= complaint.problem) continue;
        complaint.text = error.what();
        complaint.problem = k;
      }
    }
  }

  static void store(const TransportResult<Scalar, Device>& from, Index k, Result& result) {
    const auto copy_padded = [](const auto& potentials, auto* first, auto* last) {
      std::fill(std::copy(potentials.begin(), potentials.end(), first), last, -infinity);
    };
    const BatchCosts<Scalar>& costs = result.costs_;
    copy_padded(from.f, result.f.data() + costs.row(k), result.f.data() + costs.row(k + 1));
    copy_padded(from.g, result.g.data() + costs.col(k), result.g.data() + costs.col(k + 1));
    result.problems[static_cast<std::size_t>(k)] = {.status = from.status,
                                                    .converged = from.converged,
                                                    .iterations = from.iterations,
                                                    .marginal_error = from.marginal_error,
                                                    .mass = from.mass,
                                                    .transport_cost = from.transport_cost,
                                                    .regularized_cost = from.regularized_cost,
                                                    .dual_cost = from.dual_cost,
                                                    .entropy = from.entropy};
  }

  static constexpr typename Result::Potential infinity = std::numeric_limits<typename Result::Potential>::infinity();

  SinkhornOptions options_;
  Device device_;
  std::vector<Worker> workers_;
};

}  // namespace swav::detail
