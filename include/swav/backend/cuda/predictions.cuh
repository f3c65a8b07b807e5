// The softmax of a loss on the GPU, by blocks of rows. In: embeddings and prototypes. Out: log-sum-exps, gradients.
// Scores, or exponentials of them, exist for a block of rows at a time.
#pragma once

#include <algorithm>

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/loss_kernels.cuh"
#include "swav/backend/cuda/product.cuh"
#include "swav/backend/cuda/scalar.cuh"
#include "swav/backend/cuda/softmax_kernels.cuh"

namespace swav::detail {

/// Rows as they are multiplied, with their lengths where these are not known to be at most 1, else null.
template <class P>
struct ProductRows {
  MatrixView<P> unit;
  const Accumulator<P>* lengths;

  [[nodiscard]] ProductRows middle_rows(Index first, Index count) const {
    return {unit.middle_rows(first, count), lengths == nullptr ? nullptr : lengths + first};
  }
};

/// Halves of at most 256 dimensions are multiplied and exponentiated by a kernel of its own, which stores what the
/// gradients' products read; other rows have their scores stored, and turned into probabilities in place.
template <class P>
class Predictions {
  using A = Accumulator<P>;

 public:
  /// Of one head, by the log-sum-exp of each row of z C^T / temperature. With gradients, those of the softmax, times
  /// the call's weight of a pair: with respect to z (overwritten; see row_sums()), and added to
  /// `sums` (of the prototypes). Where a later head `adds`, log-sum-exps and gradients are added to what is there.
  /// `memory` is overwritten.
  void enqueue(const CudaDevice& device, const LossCall<A>& call, ProductRows<P> z, ProductRows<P> c,
               MatrixView<A> sums, MatrixView<A> gradient, bool gradients, bool adds, CudaBuffer<P>& memory) {
    log_sums_.reserve(z.unit.rows);
    if constexpr (sizeof(P) == 2) {
      sweeps_ = z.unit.cols <= most_sweep_depth;
      if (sweeps_) {
        with_sweep_shape(z.unit.cols, [&]<class Shape>(Shape) {
          exponentiate<Shape>(device, call, z, c, sums, gradient, gradients, adds, memory);
        });
        return;
      }
    }
    const Index most_rows = rows_of_block(device, call, c.unit.rows, z.unit.rows, 1);
    P* const block = memory.reserve(most_rows * c.unit.rows);
    const A weight = call.pair_weight * call.inverse_temperature / static_cast<A>(probability_scale<P>);
    const RowPlan plan = plan_rows<P>(c.unit.rows, reads_packs(block, c.unit.rows, c.unit.rows));
    for (Index first = 0; first < z.unit.rows; first += most_rows) {
      const MatrixView<P> rows = z.unit.middle_rows(first, std::min(most_rows, z.unit.rows - first));
      const MatrixView<P> scores(block, rows.rows, c.unit.rows);
      multiply<P>(device, A(1), rows, false, c.unit, true, A(0), scores);
      with_layout<P>(plan, [&]<class Layout>(Layout) {
        launch(device, std::min<Index>(rows.rows, 8 * device.multiprocessors()), plan.threads, predict_rows<Layout, P>,
               call, scores, first, gradients, adds, log_sums_.data());
      });
      if (!gradients) continue;
      multiply<P>(device, weight, scores, false, c.unit, false, A(adds), gradient.middle_rows(first, rows.rows));
      multiply<P>(device, weight, scores, true, rows, false, A(1), sums);
    }
  }

  /// What is stored at a time: about as much as the cache of an A100 or H100 holds.
  static Index block_bytes(const CudaDevice& device) { return device.multiprocessors() * (Index{384} << 10); }

  /// A row each, summed over the heads; on the GPU.
  [[nodiscard]] const double* log_sums() const { return log_sums_.data(); }
  /// What the gradient with respect to z still has to be divided by, a row each, before it is multiplied by the row's
  /// predictions and the call's weights; null: it is complete.
  [[nodiscard]] const A* row_sums() const { return sweeps_ ? row_sums_.data() : nullptr; }

 private:
  /// Fewer rows than these are too few to share the products among a GPU's multiprocessors; codes of as many have taken
  /// the same memory.
  static constexpr Index least_rows = 4096;

  /// The rows of a block, as many in each, in whole granules.
  static Index rows_of_block(const CudaDevice& device, const LossCall<A>& call, Index cols, Index rows, Index granule) {
    const Index least = std::min(call.samples, least_rows);
    const Index most = std::max(block_bytes(device) / (cols * static_cast<Index>(sizeof(P))), least) / granule;
    const Index granules = (rows + granule - 1) / granule;
    const Index blocks = (granules + std::max<Index>(most, 1) - 1) / std::max<Index>(most, 1);
    return (granules + blocks - 1) / blocks * granule;
  }

  template <class Shape>
  void exponentiate(const CudaDevice& device, const LossCall<A>& call, ProductRows<P> z, ProductRows<P> c,
                    MatrixView<A> sums, MatrixView<A> gradient, bool gradients, bool adds, CudaBuffer<P>& memory) {
    const Index cols = c.unit.rows, stride = (cols + 7) / 8 * 8, rows = z.unit.rows;
    const Index most_rows = rows_of_block(device, call, stride, rows, Shape::rows);
    P* const block = gradients ? memory.reserve(most_rows * stride) : nullptr;
    P* const weighted = gradients ? weighted_.reserve(most_rows * z.unit.cols) : nullptr;
    A* const row_sums = row_sums_.reserve(rows);
    A* const shifts = shifts_.reserve(rows);
    const Index blocks = Shape::blocks * device.multiprocessors();  // at once on the GPU
    A* const partial_sums = partial_sums_.reserve(std::max(blocks * Shape::rows, most_rows));
    const A scale = static_cast<A>(1.4426950408889634) * call.inverse_temperature;
    const A weight = call.pair_weight * call.inverse_temperature;
    const A weight_scale = softmax_weight_scale(cols, call.assigned_count);
    launch(device, (rows + Shape::rows - 1) / Shape::rows, Shape::threads, bound_rows<Shape>,
           HalfRows{z.unit, z.lengths}, HalfRows{c.unit, c.lengths}, scale, shifts);
    for (Index first = 0; first < rows; first += most_rows) {
      const MatrixView<P> part = z.unit.middle_rows(first, std::min(most_rows, rows - first));
      const MatrixView<P> exponentials(block, part.rows, cols, stride), weighted_rows(weighted, part.rows, part.cols);
      const MatrixView<A> part_gradient = gradient.middle_rows(gradients ? first : 0, gradients ? part.rows : 0);
      const Index tiles = (part.rows + Shape::rows - 1) / Shape::rows;
      const Index splits = std::clamp<Index>(blocks / tiles, 1, (cols + Shape::stage - 1) / Shape::stage);
      launch(device, tiles * splits, Shape::threads, exponentiate_rows<Shape>, part, c.unit, scale, shifts + first,
             exponentials, static_cast<int>(splits), partial_sums);
      launch(device, warp_row_blocks(part.rows), row_block_threads, weigh_rows<P>, call, part, first, partial_sums,
             static_cast<int>(splits), shifts + first, weight_scale, adds, log_sums_.data(), row_sums, part_gradient,
             weighted_rows);
      if (!gradients) continue;
      multiply<P>(device, A(1), exponentials, false, c.unit, false, A(adds), part_gradient);
      multiply<P>(device, weight / weight_scale, exponentials, true, weighted_rows, false, A(1), sums);
    }
  }

  CudaBuffer<P> weighted_;
  CudaBuffer<A> row_sums_, shifts_, partial_sums_;
  CudaBuffer<double> log_sums_;
  bool sweeps_ = false;
};

}  // namespace swav::detail
