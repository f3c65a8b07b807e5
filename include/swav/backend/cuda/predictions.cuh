// The softmax of a loss on the GPU, by blocks of rows. In: embeddings and prototypes. Out: log-sum-exps, gradients.
// Scores exist for a block of rows that stays in the GPU's cache.
#pragma once

#include <algorithm>

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/loss_kernels.cuh"
#include "swav/backend/cuda/product.cuh"
#include "swav/backend/cuda/scalar.cuh"

namespace swav::detail {

template <class P>
class Predictions {
  using A = Accumulator<P>;

 public:
  /// Of one head, by the log-sum-exp of each row of z C^T / temperature. With gradients, those of the softmax, times
  /// the call's weight of a pair: with respect to z (overwritten), and added to `sums` (of the prototypes). Where a
  /// later head `adds`, log-sum-exps and gradients are added to what is there.
  void enqueue(const CudaDevice& device, const LossCall<A>& call, MatrixView<P> z, MatrixView<P> c, MatrixView<A> sums,
               MatrixView<A> gradient, bool gradients, bool adds) {
    const Index most_rows = std::clamp<Index>(block_bytes / (c.rows * static_cast<Index>(sizeof(P))), 1, z.rows);
    P* const block = block_.reserve(most_rows * c.rows);
    double* const log_sums = log_sums_.reserve(z.rows);
    const A weight = call.pair_weight * call.inverse_temperature / static_cast<A>(probability_scale<P>);
    const RowPlan plan = plan_rows<P>(c.rows, reads_packs(block, c.rows, c.rows));
    for (Index first = 0; first < z.rows; first += most_rows) {
      const MatrixView<P> rows = z.middle_rows(first, std::min(most_rows, z.rows - first));
      const MatrixView<P> scores(block, rows.rows, c.rows);
      multiply<P>(device, A(1), rows, false, c, true, A(0), scores);
      with_layout<P>(plan, [&]<class Layout>(Layout) {
        launch(device, std::min<Index>(rows.rows, 8 * device.multiprocessors()), plan.threads, predict_rows<Layout, P>,
               call, scores, first, gradients, adds, log_sums);
      });
      if (!gradients) continue;
      multiply<P>(device, weight, scores, false, c, false, A(adds), gradient.middle_rows(first, rows.rows));
      multiply<P>(device, weight, scores, true, rows, false, A(1), sums);
    }
  }

  /// A row each, summed over the heads; on the GPU.
  [[nodiscard]] const double* log_sums() const { return log_sums_.data(); }

 private:
  /// The rows of scores that exist at once take no more than this, if one row does.
  static constexpr Index block_bytes = Index{32} << 20;

  CudaBuffer<P> block_;
  CudaBuffer<double> log_sums_;
};

}  // namespace swav::detail
