// The swapped-prediction loss, free of any backend. In: embeddings of all views, a prototype bank, where codes come
// from. Out: the value and both gradients. Users include swav/loss/swapped_prediction.hpp, which adds the CPU backend.
#pragma once

#include <cmath>
#include <utility>

#include "swav/comm/communicator.hpp"
#include "swav/loss/basic_checks.hpp"
#include "swav/loss/basic_work.hpp"
#include "swav/loss/code_source.hpp"
#include "swav/loss/options.hpp"
#include "swav/loss/step.hpp"
#include "swav/prototypes/basic_bank.hpp"

namespace swav {

/// SwAV's loss (Caron et al. 2020, equations 1 and 2, with multi-crop as in section 3.2):
/// L = 1/|A| sum_{i in A} 1/(V-1) sum_{v != i} -(1/B) sum_b q_i,b . log softmax(z_v,b C^T / tau), with codes
/// q_i = B x K rows from `Sinkhorn` on z_i C^T, held constant under differentiation. Of a bank with several heads, the
/// mean of L over the heads. CodeSource says where else codes may come from.
///
/// Cost, a head: 3 V products of B x K x D (a value alone: V), and |A| more when |A| B K entries exceed 64 MiB; memory
/// beyond inputs and results: |A| B K for the codes, as much again for the scores while that is at most 64 MiB, and per
/// thread a block of rows and one K x D gradient. The (V B) x K logits never exist: a block of rows at a time is
/// scored, turned into n softmax - T in place, multiplied twice and forgotten (docs/mathematics.md). A queue's rows
/// cost their product with C, and their scores with the batch's, a view at a time, twice the memory of that.
///
/// In a group of processes each has some of the samples, one at least, and all have the options, the bank and the queue
/// alike: value, statistics and grad_prototypes are then those that one process with all samples would get, and
/// grad_embeddings its rows for the samples here, up to rounding. The calls are collective, and throw in every process
/// when they do in one. Beyond the codes' own, a call adds up K x D numbers, K a head, and with a queue |A| B x D.
///
/// An object owns its workspace: calls after the first of a shape allocate nothing (the rows of a queue that are used
/// are part of the shape), and one object must not be used by two threads at once. 16-bit scalars are computed in float
/// throughout.
template <class Scalar, class Device = EigenDevice, Communicator Group = SelfCommunicator>
class SwappedPredictionLoss {
  using A = Accumulator<Scalar>;
  using Checks = detail::LossChecks<Scalar, Device>;

 public:
  using Bank = PrototypeBank<Scalar, Device>;
  using Step = SwappedPredictionStep<Scalar, Device>;
  using Source = CodeSource<Scalar, Device>;
  using Codes = ViewCodes<Scalar, Device>;
  using Queue = EmbeddingQueue<Scalar, Device>;

  /// Throws InvalidInput when an option is out of range.
  explicit SwappedPredictionLoss(SwappedPredictionOptions options = {}, Device device = {}, Group group = {})
      : options_(std::move(options)), work_(options_, device, group) {
    detail::check(options_);
  }

  [[nodiscard]] const SwappedPredictionOptions& options() const { return options_; }

  /// Another temperature, or epsilon of the codes, from the next call on: for schedules. Throw InvalidInput when it is
  /// out of range, with nothing changed.
  void set_temperature(double temperature) {
    detail::check_temperature(temperature);
    options_.temperature = temperature;
  }
  void set_epsilon(double epsilon) {
    work_.set_epsilon(epsilon);
    options_.sinkhorn.epsilon = epsilon;
  }

  /// z: (views B) x D, view-major (row v B + b is sample b in view v). Throws InvalidInput when z is empty or not
  /// finite, its columns are not the bank's dimension, views < 2, views does not divide the rows, a view of
  /// crops_for_assign is not among them, or the source does not fit.
  [[nodiscard]] Step operator()(MatrixView<const Scalar> z, const Bank& bank, Index views, const Source& source = {}) {
    Step step;
    step_into(z, bank, views, step, source);
    return step;
  }

  /// The same into an existing step, whose matrices are resized only when their shapes differ. Neither may overlap z or
  /// the bank. `step` and the source's queue are unchanged when this throws InvalidInput.
  void step_into(MatrixView<const Scalar> z, const Bank& bank, Index views, Step& step, const Source& source = {}) {
    work_.step(
        options_, z, bank, views, step, source, [&] { check(z, bank, views, source); },
        [&] {
          resize(step.grad_embeddings, z.rows, z.cols);
          resize(step.grad_prototypes, bank.prototypes(), bank.dimension());
        });
  }

  /// L alone, without gradients: about a third of the work. Same arguments, same errors.
  [[nodiscard]] double value(MatrixView<const Scalar> z, const Bank& bank, Index views) {
    return work_.value(options_, z, bank, views, [&] { check(z, bank, views, {}); });
  }

  /// Codes alone, of a batch whose loss is taken a part at a time (CodeSource::codes). embeddings: view-major,
  /// `samples` rows a view; views after the last of crops_for_assign may be missing. The queue, if there is one, is
  /// used and written as in a step. `codes` and the queue are unchanged when this throws InvalidInput. `parts`: in a
  /// group of processes, the samples here are of so many batches, one after another and as many of each, whose other
  /// samples other processes have; rows go to the queue batch by batch, as from one process.
  void codes_into(MatrixView<const Scalar> embeddings, const Bank& bank, Index samples, Codes& codes,
                  Queue* queue = nullptr, Index parts = 1) {
    work_.codes(
        options_, embeddings, bank, samples, codes, queue, parts,
        [&] {
          const Checks checks{options_.crops_for_assign};
          checks.check_code_embeddings(embeddings, bank, samples);
          checks.check_queue(queue, bank);
          detail::require(parts >= 1 && samples % parts == 0, "SwappedPredictionLoss: parts ", parts,
                          " found, a number that divides the samples, ", samples, ", wanted");
        },
        [&] {
          codes.samples = samples;
          codes.heads.resize(bank.head_prototypes().size());
          for (std::size_t head = 0; head < codes.heads.size(); ++head)
            resize(codes.heads[head], static_cast<Index>(options_.crops_for_assign.size()) * samples,
                   bank.head_prototypes()[head]);
        });
  }

 private:
  void check(MatrixView<const Scalar> z, const Bank& bank, Index views, const Source& source) const {
    const Checks checks{options_.crops_for_assign};
    checks.check_embeddings(z, bank, views);
    checks.check_source(source, bank, z.rows / views);
    detail::require(std::isfinite(static_cast<A>(1.0 / options_.temperature)),
                    "SwappedPredictionOptions.temperature: ", options_.temperature,
                    " found, one whose reciprocal is in the scalar's range wanted");
  }

  template <class Matrix>
  static void resize(Matrix& matrix, Index rows, Index cols) {
    if (matrix.rows() != rows || matrix.cols() != cols) matrix = Matrix(rows, cols);
  }

  SwappedPredictionOptions options_;
  detail::LossWork<Scalar, Device, Group> work_;
};

}  // namespace swav
