// Small transport problems by Thrust, each solved by one element of work. In: row-major costs in the policy's memory.
// Out: potentials and summaries.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "swav/backend/thrust/batch_problem.hpp"
#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/sinkhorn/batch_passes.hpp"

namespace swav {

template <class Policy>
struct BatchPasses<ThrustDevice<Policy>> {
  using Device = ThrustDevice<Policy>;
  using Run = detail::BatchRun;

  template <class T>
  static constexpr int lanes = 512;
  static constexpr Index largest_entries = 64 * 64;

  template <class T>
  struct Workspace {
    template <class U>
    using Buffer = typename Device::template Buffer<U>;

    Buffer<T> numbers;    // of all problems, in the order of BatchNumbers
    Buffer<double> f, g;  // a problem's one after the other: its potentials, or its factors under way
    std::vector<double> host_f, host_g;
    Buffer<Run> runs;
    Buffer<BatchSummary> summaries;
  };

  template <class Scalar, class T>
  static void solve(const Device& device, const BatchProblem<Scalar>* problems, Run* runs, int count,
                    const BatchSettings& settings, int iterations, Workspace<T>& w, BatchSummary* summaries) {
    Index n = 0, m = 0;
    for (int lane = 0; lane < count; ++lane) {
      n = std::max(n, problems[lane].cost.rows);
      m = std::max(m, problems[lane].cost.cols);
    }
    gather(device, problems, runs, count, n, m, w);
    auto* const on_device = device.template pass_scratch<BatchProblem<Scalar>>(count);
    detail::upload(device.policy(), problems, count, on_device);
    detail::upload(device.policy(), runs, count, w.runs.data());
    detail::upload(device.policy(), summaries, count, w.summaries.data());
    const detail::BatchNumbers<T> numbers(count, n, m, w.numbers.reserve(detail::BatchNumbers<T>::size(count, n, m)));
    detail::for_each_index(device.policy(), count,
                           detail::SolveOfBatch<Scalar, T>{on_device, w.runs.data(), w.summaries.data(), w.f.data(),
                                                           w.g.data(), n, m, numbers, settings, iterations});
    detail::download(device.policy(), w.runs.data(), count, runs);
    detail::download(device.policy(), w.summaries.data(), count, summaries);
    scatter(device, problems, runs, count, n, m, w);
  }

 private:
  template <class Scalar, class T>
  static void gather(const Device& device, const BatchProblem<Scalar>* problems, const Run* runs, Index count, Index n,
                     Index m, Workspace<T>& w) {
    w.runs.reserve(count);
    w.summaries.reserve(count);
    w.f.reserve(count * n);
    w.g.reserve(count * m);
    w.host_f.resize(static_cast<std::size_t>(count * n));
    w.host_g.resize(static_cast<std::size_t>(count * m));
    bool any = false;
    for (Index lane = 0; lane < count; ++lane) {
      if (runs[lane].iterations == 0) continue;
      any = true;
      std::copy_n(problems[lane].f, problems[lane].cost.rows, w.host_f.data() + lane * n);
      std::copy_n(problems[lane].g, problems[lane].cost.cols, w.host_g.data() + lane * m);
    }
    if (!any) return;
    detail::upload(device.policy(), w.host_f.data(), count * n, w.f.data());
    detail::upload(device.policy(), w.host_g.data(), count * m, w.g.data());
  }

  template <class Scalar, class T>
  static void scatter(const Device& device, const BatchProblem<Scalar>* problems, const Run* runs, Index count, Index n,
                      Index m, Workspace<T>& w) {
    detail::download(device.policy(), w.f.data(), count * n, w.host_f.data());
    detail::download(device.policy(), w.g.data(), count * m, w.host_g.data());
    for (Index lane = 0; lane < count; ++lane) {
      if (runs[lane].state == Run::State::unsuited) continue;
      std::copy_n(w.host_f.data() + lane * n, problems[lane].cost.rows, problems[lane].f);
      std::copy_n(w.host_g.data() + lane * m, problems[lane].cost.cols, problems[lane].g);
    }
  }
};

}  // namespace swav
