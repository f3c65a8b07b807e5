// The codes of a batch's views, free of any backend. In: unit embeddings, prototypes, a queue perhaps. Out: scores and
// codes of the assigned views.
#pragma once

#include "swav/loss/passes.hpp"
#include "swav/prototypes/basic_queue.hpp"
#include "swav/sinkhorn/solver.hpp"

namespace swav::detail {

/// The part of the loss that computes codes, one head at a time, of the batches of a group of processes. Owns the
/// solver and the scores of a queue.
template <class Scalar, class Device, class Group>
class CodesOfViews {
  using A = Accumulator<Scalar>;
  using Passes = LossPasses<Device>;
  using Rows = RowPasses<Device>;
  using Problem = SwappedPredictionProblem<A>;
  using Workspace = typename Passes::template Workspace<A>;

 public:
  using Queue = EmbeddingQueue<Scalar, Device>;

  CodesOfViews(const SinkhornOptions& options, const Device& device, const Group& group)
      : device_(device), group_(group), sinkhorn_(options, device, group) {}

  [[nodiscard]] const SinkhornOptions& options() const { return sinkhorn_.options(); }
  void set_epsilon(double epsilon) { sinkhorn_.set_epsilon(epsilon); }

  /// scores and codes: (|A| B) x K, maybe the same memory. The workspace must be reserved for the problem, and is
  /// afterwards.
  void compute(const Problem& problem, MatrixView<const A> z, MatrixView<const A> c, const Queue* queue,
               MatrixView<A> scores, MatrixView<A> codes, Workspace& workspace) {
    Passes::score(device_, problem, z, c, scores, workspace);
    // Every process has all of the queue, and takes its share of the rows.
    const Index used = queue == nullptr ? 0 : queue->used();
    const Index first_queued = used * group_.rank() / group_.size();
    const Index queued = used * (group_.rank() + 1) / group_.size() - first_queued;
    for (Index i = 0; i < problem.assigned_count; ++i) {
      const Index first = i * problem.samples;
      const MatrixView<const A> batch = scores.middle_rows(first, problem.samples);
      const MatrixView<A> out = codes.middle_rows(first, problem.samples);
      if (queued == 0) {
        sinkhorn_.codes_into(batch, out);
        continue;
      }
      // Room for the full queue, so that nothing is allocated while it fills.
      const Index most_queued = (queue->length() + group_.size() - 1) / group_.size();
      A* const memory = stacked_.reserve((most_queued + problem.samples) * problem.prototypes);
      const MatrixView<A> stacked(memory, queued + problem.samples, problem.prototypes);
      score_queue(queue->rows(i).middle_rows(first_queued, queued), c, stacked.middle_rows(0, queued), workspace);
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
  Group group_;
  Sinkhorn<A, Device, Group> sinkhorn_;
  typename Device::template Buffer<A> stacked_;
};

}  // namespace swav::detail
