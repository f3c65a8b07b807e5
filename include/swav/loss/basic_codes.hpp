// The codes of a batch's views, free of any backend. In: unit embeddings, prototypes, a queue perhaps. Out: scores and
// codes of the assigned views.
#pragma once

#include "swav/loss/passes.hpp"
#include "swav/prototypes/basic_queue.hpp"
#include "swav/sinkhorn/solver.hpp"

namespace swav::detail {

/// The part of the loss that computes codes, one head at a time. Owns the solver and the scores of a queue.
template <class Scalar, class Device>
class CodesOfViews {
  using A = Accumulator<Scalar>;
  using Passes = LossPasses<Device>;
  using Rows = RowPasses<Device>;
  using Problem = SwappedPredictionProblem<A>;
  using Workspace = typename Passes::template Workspace<A>;

 public:
  using Queue = EmbeddingQueue<Scalar, Device>;

  CodesOfViews(const SinkhornOptions& options, const Device& device) : device_(device), sinkhorn_(options, device) {}

  [[nodiscard]] const SinkhornOptions& options() const { return sinkhorn_.options(); }
  void set_epsilon(double epsilon) { sinkhorn_.set_epsilon(epsilon); }

  /// scores and codes: (|A| B) x K, maybe the same memory. The workspace must be reserved for the problem, and is
  /// afterwards.
  void compute(const Problem& problem, MatrixView<const A> z, MatrixView<const A> c, const Queue* queue,
               MatrixView<A> scores, MatrixView<A> codes, Workspace& workspace) {
    Passes::score(device_, problem, z, c, scores, workspace);
    const Index queued = queue == nullptr ? 0 : queue->used();
    for (Index i = 0; i < problem.assigned_count; ++i) {
      const Index first = i * problem.samples;
      const MatrixView<const A> batch = scores.middle_rows(first, problem.samples);
      const MatrixView<A> out = codes.middle_rows(first, problem.samples);
      if (queued == 0) {
        sinkhorn_.codes_into(batch, out);
        continue;
      }
      // Room for the full queue, so that nothing is allocated while it fills.
      A* const memory = stacked_.reserve((queue->length() + problem.samples) * problem.prototypes);
      const MatrixView<A> stacked(memory, queued + problem.samples, problem.prototypes);
      score_queue(queue->rows(i), c, stacked.middle_rows(0, queued), workspace);
      Rows::convert(device_, batch, stacked.middle_rows(queued, problem.samples));
      sinkhorn_.codes_of_last_into(stacked, out);
    }
    if (queued > 0) workspace.reserve(problem, device_);
  }

 private:
  // As the scores of a batch of one view.
  void score_queue(MatrixView<const A> rows, MatrixView<const A> c, MatrixView<A> scores, Workspace& workspace) {
    constexpr int only_view = 0;
    const Problem problem{.views = 1,
                          .samples = rows.rows,
                          .prototypes = c.rows,
                          .dimension = c.cols,
                          .slot = &only_view,
                          .assigned = &only_view,
                          .assigned_count = 1,
                          .gradients = false};
    workspace.reserve(problem, device_);
    Passes::score(device_, problem, rows, c, scores, workspace);
  }

  Device device_;
  Sinkhorn<A, Device> sinkhorn_;
  typename Device::template Buffer<A> stacked_;
};

}  // namespace swav::detail
