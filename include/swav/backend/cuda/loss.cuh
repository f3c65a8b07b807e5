// The swapped-prediction loss on the GPU. In: row-major memory of the GPU. Out: the same. All of a step is enqueued at
// once. Since a row of codes sums to 1, they enter by products with the prototypes and with sums of embeddings alone,
// once for all views that share them, and what is left of a view is its softmax (docs/mathematics.md).
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "swav/backend/cuda/codes.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/loss_kernels.cuh"
#include "swav/backend/cuda/predictions.cuh"
#include "swav/backend/cuda/product.cuh"
#include "swav/backend/cuda/row_passes.cuh"
#include "swav/backend/cuda/scalar.cuh"
#include "swav/loss/basic_work.hpp"

namespace swav::detail {

/// Work, a head: |A| products of B x K x D for the codes' scores, 2 |A| with the codes, and 3 V with the softmax (a
/// value alone: 2 |A| + V). Memory: of one view's B K codes, or of a block of rows of the softmax where that is more,
/// of 16 bits for 16-bit scalars.
///
/// In a group of processes all have as many samples: others are a fault in all, but with a queue, or with other numbers
/// of prototypes, reductions of different lengths, which nobody checks, since nothing is waited for. Beside those of
/// the codes three reductions are enqueued, with a queue one more. Input of one process that cannot be worked with is a
/// fault in all. The group is called with the GPU's memory, of double, Scalar's accumulator and int, and has to work by
/// the device's stream, as NcclCommunicator does; MpiCommunicator does not.
template <class Scalar, Communicator Group>
class LossWork<Scalar, CudaDevice, Group> {
  using P = typename ProductScalar<Scalar>::type;
  using A = Accumulator<P>;
  using Bank = PrototypeBank<Scalar, CudaDevice>;
  using Step = SwappedPredictionStep<Scalar, CudaDevice>;
  using Source = CodeSource<Scalar, CudaDevice>;
  using Codes = ViewCodes<Scalar, CudaDevice>;
  using Queue = EmbeddingQueue<Scalar, CudaDevice>;
  using Rows = RowPasses<CudaDevice>;

 public:
  LossWork(const SwappedPredictionOptions& options, const CudaDevice& device, const Group& group)
      : device_(device), group_(group), share_(group), sinkhorn_(options.sinkhorn, device, group) {}

  void set_epsilon(double epsilon) { sinkhorn_.set_epsilon(epsilon); }

  template <class Check, class Shape>
  void step(const SwappedPredictionOptions& options, MatrixView<const Scalar> z, const Bank& bank, Index views,
            Step& step, const Source& source, Check check, Shape shape) {
    check();
    shape();
    run(options, z, bank, views, step, source, true);
  }

  /// Waits for the value.
  template <class Check>
  double value(const SwappedPredictionOptions& options, MatrixView<const Scalar> z, const Bank& bank, Index views,
               Check check) {
    check();
    run(options, z, bank, views, value_, {}, false);
    return value_.value;
  }

  template <class Check, class Shape>
  void codes(const SwappedPredictionOptions& options, MatrixView<const Scalar> embeddings, const Bank& bank,
             Index samples, Codes& codes, Queue* queue, Index parts, Check check, Shape shape) {
    check();
    shape();
    const Index views = embeddings.rows / samples;
    const Call call = describe(options, samples, views, bank);
    const MatrixView<P> z = prepare(embeddings, options.embeddings == Embeddings::raw, code_z_, bad_embeddings).unit;
    const MatrixView<P> c =
        prepare(bank.weights(), options.prototypes == Prototypes::raw, code_c_, bad_prototypes).unit;
    const CodesStatistics statistics = reserve_statistics(call, bank);
    share_faults(statistics.used + bank.prototypes(), 0, call);
    for (std::size_t head = 0; head < codes.heads.size(); ++head)
      for (Index i = 0; i < call.assigned_count; ++i) {
        const MatrixView<P> of_view = reserve_codes(call, bank, head, 1);
        compute_codes(options, call, i, z, rows_of_head(c, bank, head), queue, of_view, statistics);
        Rows::convert(device_, MatrixView<const P>(of_view),
                      MatrixView<A>(codes.heads[head]).middle_rows(i * samples, samples));
      }
    push(call, z, queue, options, parts);
  }

 private:
  using Call = LossCall<A>;

  struct Prepared : ProductRows<P> {
    A* norms;  // null where the rows are used as they are
  };
  struct PreparedMemory {
    CudaBuffer<P> unit;
    CudaBuffer<A> norms;
  };

  void run(const SwappedPredictionOptions& options, MatrixView<const Scalar> embeddings, const Bank& bank, Index views,
           Step& step, const Source& source, bool gradients) {
    const Index rows = embeddings.rows, d = embeddings.cols;
    Call call = describe(options, rows / views, views, bank);
    if (source.codes != nullptr && source.codes->of_samples)
      predict_in_all_views(call, bank.head_prototypes().size(), group_.size());
    const bool raw_z = options.embeddings == Embeddings::raw, raw_c = options.prototypes == Prototypes::raw;
    const Prepared z = prepare(embeddings, raw_z, z_, bad_embeddings);
    const Prepared c = prepare(bank.weights(), raw_c, c_, bad_prototypes);
    const MatrixView<P> code_z =
        source.embeddings.data == nullptr ? z.unit : prepare(source.embeddings, raw_z, code_z_, bad_embeddings).unit;
    const MatrixView<P> code_c =
        source.bank == nullptr ? c.unit : prepare(source.bank->weights(), raw_c, code_c_, bad_prototypes).unit;

    const CodesStatistics statistics = reserve_statistics(call, bank);
    const Index samples = call.samples, predicted = call.assigned_count * samples;
    const MatrixView<A> targets(targets_.reserve(predicted * d), predicted, d);
    const MatrixView<A> sums(prototype_sums_.reserve(gradients ? c.unit.size() : 0), c.unit.rows, d);
    const MatrixView<A> softmax_gradient(softmax_gradient_.reserve(gradients ? rows * d : 0), rows, d);
    const MatrixView<P> others(other_views_.reserve(gradients ? targets.size() : 0), targets.rows, d);
    if (gradients)
      launch(device_, warp_row_blocks(others.rows), row_block_threads,
             d % 4 == 0 ? sum_other_views<4, P> : sum_other_views<1, P>, call, z.unit, others);

    const A weight = call.pair_weight * call.inverse_temperature;
    for (std::size_t head = 0; head < bank.head_prototypes().size(); ++head) {
      const ProductRows<P> head_c = rows_of_head<ProductRows<P>>(c, bank, head);
      const MatrixView<A> head_sums = sums.middle_rows(bank.head_first(head), gradients ? head_c.unit.rows : 0);
      const Index most_views = views_at_once(call, head_c.unit.rows);
      for (Index first = 0; first < call.assigned_count; first += most_views) {
        const Index count = std::min(most_views, call.assigned_count - first);
        const MatrixView<P> codes = reserve_codes(call, bank, head, count);
        for (Index i = first; i < first + count; ++i) {
          const MatrixView<P> of_view = codes.middle_rows((i - first) * samples, samples);
          const CodesStatistics known{statistics.row_entropies + static_cast<Index>(head) * predicted + i * samples,
                                      statistics.used + bank.head_first(head)};
          if (source.codes != nullptr)
            take_codes(call, i, source, head, of_view, known);
          else
            compute_codes(options, call, i, code_z, rows_of_head(code_c, bank, head), source.queue, of_view, known);
        }
        multiply<P>(device_, A(1), codes, false, head_c.unit, false, A(head > 0),
                    targets.middle_rows(first * samples, codes.rows));
        if (gradients)
          multiply<P>(device_, -weight, codes, true, others.middle_rows(first * samples, codes.rows), false,
                      A(first > 0), head_sums);
      }
      predictions_.enqueue(device_, call, z, head_c, head_sums, softmax_gradient, gradients, head > 0, memory_);
    }
    finish(call, z, c, step, statistics, gradients, static_cast<Index>(bank.head_prototypes().size()));
    push(call, code_z, source.queue, options, 1);
  }

  /// From sums over all heads to the step.
  void finish(const Call& call, const Prepared& z, const Prepared& c, Step& step, const CodesStatistics& statistics,
              bool gradients, Index heads) {
    const MatrixView<Scalar> grad_z = gradients ? MatrixView<Scalar>(step.grad_embeddings) : MatrixView<Scalar>{};
    double* const values = values_.reserve(z.unit.rows);
    share_faults(statistics.used, c.unit.rows, call);
    if (gradients) group_.sum(prototype_sums_.data(), c.unit.size());
    // Rows of the matrices of 16 bits, of A and the step's begin at packs of four if they have whole ones.
    const auto finish = z.unit.cols % 4 == 0 ? finish_rows<4, Scalar, P> : finish_rows<1, Scalar, P>;
    launch(device_, warp_row_blocks(z.unit.rows), row_block_threads, finish, call, z.unit, z.norms, targets_.data(),
           softmax_gradient_.data(), predictions_.row_sums(), predictions_.log_sums(), grad_z, values);
    if (gradients)
      launch(device_, warp_row_blocks(c.unit.rows), row_block_threads, finish_prototypes<Scalar, P>, c.unit, c.norms,
             prototype_sums_.data(), MatrixView<Scalar>(step.grad_prototypes), device_.faults());
    double* const value = step.value.slot(device_);
    double* const entropy = step.codes_entropy.slot(device_);
    double* const numbers = numbers_.reserve(2);
    launch(device_, 1, most_row_threads, sum_loss<A>, call.pair_weight, values, z.unit.rows, statistics.row_entropies,
           heads * call.assigned_count * call.samples, group_.size(), statistics.used, c.unit.rows, device_.faults(),
           grouped() ? numbers : value, grouped() ? numbers + 1 : entropy, step.prototypes_used.slot(device_));
    if (!grouped()) return;
    group_.sum(numbers, 2);
    launch(device_, 1, 1, store_loss<double>, numbers, device_.faults(), value, entropy);
  }

  [[nodiscard]] bool grouped() const { return group_.size() > 1; }

  /// flags[0 .. count) become the largest of all processes, and a fault of one process one of all. Room for share_flags
  /// more.
  void share_faults(int* flags, Index count, const Call& call) const {
    if (!grouped()) return;
    launch(device_, 1, 1, tell_share<int>, flags + count, device_.faults(), static_cast<int>(call.samples));
    group_.maximum(flags, count + share_flags);
    launch(device_, 1, 1, take_share<int>, flags + count, device_.faults());
  }

  Call describe(const SwappedPredictionOptions& options, Index samples, Index views, const Bank& bank) const {
    return describe_loss<A>(options, device_, samples, views, bank.head_prototypes().size(), group_.size());
  }

  /// Rows of halves begin, and end with zeros, at multiples of 16 bytes.
  Prepared prepare(MatrixView<const Scalar> rows, bool normalize, PreparedMemory& memory, CudaFault fault) {
    const Index stride = sizeof(P) == 2 ? (rows.cols + 7) / 8 * 8 : rows.cols;
    const MatrixView<P> unit(memory.unit.reserve(rows.rows * stride), rows.rows, rows.cols, stride);
    A* const norms = memory.norms.reserve(rows.rows);
    launch(device_, warp_row_blocks(rows.rows), row_block_threads, prepare_rows<Scalar, P>, rows, unit,
           stride - rows.cols, norms, normalize, int{fault}, device_.faults());
    return {{unit, normalize ? nullptr : norms}, normalize ? norms : nullptr};
  }

  template <class RowsOfAll>
  static RowsOfAll rows_of_head(RowsOfAll c, const Bank& bank, std::size_t head) {
    return c.middle_rows(bank.head_first(head), bank.head_prototypes()[head]);
  }

  /// The views whose codes are multiplied together: those of one at least, all while they fit what the predictions
  /// take.
  Index views_at_once(const Call& call, Index prototypes) const {
    const Index bytes = call.samples * prototypes * static_cast<Index>(sizeof(P));
    return std::clamp<Index>(Predictions<P>::block_bytes(device_) / bytes, 1, call.assigned_count);
  }

  /// For the codes of `views` views, with room for those of one of the largest head.
  MatrixView<P> reserve_codes(const Call& call, const Bank& bank, std::size_t head, Index views) {
    const Index most = *std::max_element(bank.head_prototypes().begin(), bank.head_prototypes().end());
    const Index rows = views * call.samples, cols = bank.head_prototypes()[head];
    return {memory_.reserve(std::max(call.samples * most, rows * cols)), rows, cols};
  }

  CodesStatistics reserve_statistics(const Call& call, const Bank& bank) {
    const auto heads = static_cast<Index>(bank.head_prototypes().size());
    const CodesStatistics statistics{row_entropies_.reserve(heads * call.assigned_count * call.samples),
                                     used_.reserve(bank.prototypes() + share_flags)};
    check_cuda(cudaMemsetAsync(statistics.used, 0, static_cast<std::size_t>(bank.prototypes()) * sizeof(int),
                               device_.stream()),
               "cudaMemsetAsync");
    return statistics;
  }

  /// Codes of one head for the i-th assigned view, B x K.
  void compute_codes(const SwappedPredictionOptions& options, const Call& call, Index i, MatrixView<P> z,
                     MatrixView<P> c, const Queue* queue, MatrixView<P> codes, const CodesStatistics& statistics) {
    // Rows of length 1 have scores in [-1, 1], and a little more by rounding.
    const bool unit_scores = options.embeddings == Embeddings::raw && options.prototypes == Prototypes::raw &&
                             2.01 / sinkhorn_.options().epsilon <= CodesSolver<P, CudaDevice, Group>::certain_span();
    // Every process has all of the queue, and takes its share of the rows.
    const Index samples = call.samples, size = group_.size(), used = queue == nullptr ? 0 : queue->used();
    const Index first_queued = used * group_.rank() / size;
    const Index queued = used * (group_.rank() + 1) / size - first_queued;
    const MatrixView<P> batch = z.middle_rows(call.assigned[i] * samples, samples);
    if (queued == 0) {
      multiply<P>(device_, A(1), batch, false, c, true, A(0), codes);
      sinkhorn_.enqueue(codes, codes, statistics, unit_scores);
      return;
    }
    // Room for the full queue, so that nothing is allocated while it fills.
    const Index most_queued = (queue->length() + size - 1) / size;
    P* const memory = stacked_.reserve((most_queued + samples) * c.rows);
    const MatrixView<P> stacked(memory, queued + samples, c.rows);
    const MatrixView<P> rows(queue_rows_.reserve(most_queued * c.cols), queued, c.cols);
    Rows::convert(device_, queue->rows(i).middle_rows(first_queued, queued), rows);
    multiply<P>(device_, A(1), rows, false, c, true, A(0), stacked.middle_rows(0, queued));
    multiply<P>(device_, A(1), batch, false, c, true, A(0), stacked.middle_rows(queued, samples));
    sinkhorn_.enqueue(stacked, codes, statistics, unit_scores);
  }

  void take_codes(const Call& call, Index i, const Source& source, std::size_t head, MatrixView<P> codes,
                  const CodesStatistics& statistics) {
    const MatrixView<const A> all(source.codes->heads[head]);
    launch(device_, std::min<Index>(codes.rows, 8 * device_.multiprocessors()), threads_for(codes.cols), copy_codes<P>,
           all.middle_rows(i * source.codes->samples + source.first_sample, call.samples), codes, statistics,
           device_.faults());
  }

  static int threads_for(Index cols) { return std::min(most_row_threads, static_cast<int>(whole_warps(cols))); }

  /// A queue gets what codes were computed of, unless the step has met what it could not work with.
  void push(const Call& call, MatrixView<P> z, Queue* queue, const SwappedPredictionOptions& options, Index parts) {
    if (queue == nullptr) return;
    share_.take_equal(call.samples);
    const auto write = [&](MatrixView<const A> rows) {
      share_.push(device_, rows, call.samples, parts, options.crops_for_assign, *queue);
    };
    if constexpr (std::is_same_v<P, A>) {
      write(z);
    } else {
      const MatrixView<A> wide(pushed_.reserve(z.size()), z.rows, z.cols);
      Rows::convert(device_, MatrixView<const P>(z), wide);
      write(wide);
    }
  }

  CudaDevice device_;
  Group group_;
  BatchShare<Scalar, CudaDevice, Group> share_;
  CodesSolver<P, CudaDevice, Group> sinkhorn_;
  Predictions<P> predictions_;
  PreparedMemory z_, c_, code_z_, code_c_;
  CudaBuffer<P> other_views_, memory_, stacked_, queue_rows_;
  CudaBuffer<A> targets_, softmax_gradient_, prototype_sums_, pushed_;
  CudaBuffer<double> values_, row_entropies_, numbers_;
  CudaBuffer<int> used_;
  Step value_;  // of value(), without matrices
};

}  // namespace swav::detail
