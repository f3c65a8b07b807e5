// The swapped-prediction loss, free of any backend. In: embeddings of all views, a prototype bank, where codes come
// from. Out: the value and both gradients. Users include swav/loss/swapped_prediction.hpp, which adds the CPU backend.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/loss/basic_checks.hpp"
#include "swav/loss/basic_codes.hpp"
#include "swav/loss/basic_rows.hpp"
#include "swav/loss/code_source.hpp"
#include "swav/loss/options.hpp"
#include "swav/loss/passes.hpp"
#include "swav/prototypes/basic_bank.hpp"

namespace swav {

/// What one call of the loss gives back.
template <class Scalar, class Device = EigenDevice>
struct SwappedPredictionStep {
  using Matrix = typename Device::template Matrix<Scalar>;
  double value = 0;           ///< L, in nats
  Matrix grad_embeddings;     ///< dL/dx ((V B) x D), with respect to the rows as they were handed in
  Matrix grad_prototypes;     ///< dL/dC (K x D), with respect to the bank's rows as they are
  double codes_entropy = 0;   ///< mean entropy of a row of codes, in nats: ln K when nothing is decided, 0 when one-hot
  Index prototypes_used = 0;  ///< distinct arg max among the batch's codes, over all heads
};

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
/// An object owns its workspace: calls after the first of a shape allocate nothing (the rows of a queue that are used
/// are part of the shape), and one object must not be used by two threads at once. 16-bit scalars are computed in float
/// throughout.
template <class Scalar, class Device = EigenDevice>
class SwappedPredictionLoss {
  using A = Accumulator<Scalar>;
  using Passes = LossPasses<Device>;
  using Rows = RowPasses<Device>;
  using Checks = detail::LossChecks<Scalar, Device>;

 public:
  using Bank = PrototypeBank<Scalar, Device>;
  using Step = SwappedPredictionStep<Scalar, Device>;
  using Source = CodeSource<Scalar, Device>;
  using Codes = ViewCodes<Scalar, Device>;
  using Queue = EmbeddingQueue<Scalar, Device>;

  /// Throws InvalidInput when an option is out of range.
  explicit SwappedPredictionLoss(SwappedPredictionOptions options = {}, Device device = {})
      : options_(std::move(options)), device_(device), codes_of_views_(options_.sinkhorn, device) {
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
    codes_of_views_.set_epsilon(epsilon);
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
    const Call call = prepare(z, bank, views, source, true);
    resize(step.grad_embeddings, z.rows, z.cols);
    resize(step.grad_prototypes, bank.prototypes(), bank.dimension());
    const MatrixView<A> grad_z = accumulating(MatrixView<Scalar>(step.grad_embeddings), grad_z_);
    const MatrixView<A> grad_c = accumulating(MatrixView<Scalar>(step.grad_prototypes), grad_c_);

    const CodeStatistics codes = evaluate(call, bank, source, grad_z, grad_c, step.value);
    step.codes_entropy = codes.entropy;
    step.prototypes_used = codes.prototypes_used;

    if (options_.embeddings == Embeddings::raw) Rows::normalize_gradient(device_, call.z, z_.norms(), grad_z);
    if (options_.prototypes == Prototypes::raw) Rows::normalize_gradient(device_, call.c, c_.norms(), grad_c);
    store(grad_z, MatrixView<Scalar>(step.grad_embeddings));
    store(grad_c, MatrixView<Scalar>(step.grad_prototypes));
    if (source.queue != nullptr) source.queue->push(call.code_z, call.problem.samples, options_.crops_for_assign);
  }

  /// L alone, without gradients: about a third of the work. Same arguments, same errors.
  [[nodiscard]] double value(MatrixView<const Scalar> z, const Bank& bank, Index views) {
    double result = 0;
    evaluate(prepare(z, bank, views, {}, false), bank, {}, {}, {}, result);
    return result;
  }

  /// Codes alone, of a batch whose loss is taken a part at a time (CodeSource::codes). embeddings: view-major,
  /// `samples` rows a view; views after the last of crops_for_assign may be missing. The queue, if there is one, is
  /// used and written as in a step. `codes` and the queue are unchanged when this throws InvalidInput.
  void codes_into(MatrixView<const Scalar> embeddings, const Bank& bank, Index samples, Codes& codes,
                  Queue* queue = nullptr) {
    const Checks checks{options_.crops_for_assign};
    checks.check_code_embeddings(embeddings, bank, samples);
    checks.check_queue(queue, bank);
    Call call{.problem = problem_of(samples, embeddings.rows / samples, bank, false)};
    prepare_codes({.embeddings = embeddings, .bank = &bank}, call);
    codes.samples = samples;
    codes.heads.resize(bank.head_prototypes().size());
    for (std::size_t head = 0; head < codes.heads.size(); ++head) {
      call.problem.prototypes = bank.head_prototypes()[head];
      workspace_.reserve(call.problem, device_);
      resize(codes.heads[head], call.problem.assigned_count * samples, call.problem.prototypes);
      const MatrixView<A> out(codes.heads[head]);
      codes_of_views_.compute(call.problem, call.code_z, rows_of_head(call.code_c, bank, head), queue, out, out,
                              workspace_);
    }
    if (queue != nullptr) queue->push(call.code_z, samples, options_.crops_for_assign);
  }

 private:
  struct Call {
    SwappedPredictionProblem<A> problem = {};  // its prototypes are a head's
    MatrixView<const A> z = {}, c = {};
    MatrixView<const A> code_z = {}, code_c = {};  // what codes are of: the same, unless the source says otherwise
  };

  template <class Matrix>
  static void resize(Matrix& matrix, Index rows, Index cols) {
    if (matrix.rows() != rows || matrix.cols() != cols) matrix = Matrix(rows, cols);
  }

  static MatrixView<const A> rows_of_head(MatrixView<const A> c, const Bank& bank, std::size_t head) {
    return c.middle_rows(bank.head_first(head), bank.head_prototypes()[head]);
  }

  // Of no head yet.
  SwappedPredictionProblem<A> problem_of(Index samples, Index views, const Bank& bank, bool gradients) {
    const auto assigned = static_cast<Index>(options_.crops_for_assign.size());
    slot_.assign(static_cast<std::size_t>(views), -1);
    for (std::size_t i = 0; i < options_.crops_for_assign.size(); ++i)
      slot_[static_cast<std::size_t>(options_.crops_for_assign[i])] = static_cast<int>(i);
    const double pairs = static_cast<double>(assigned) * static_cast<double>(views - 1) * static_cast<double>(samples);
    return {.views = views,
            .samples = samples,
            .dimension = bank.dimension(),
            .inverse_temperature = static_cast<A>(1.0 / options_.temperature),
            .pair_weight = static_cast<A>(1.0 / (pairs * static_cast<double>(bank.head_prototypes().size()))),
            .slot = slot_.data(),
            .assigned = options_.crops_for_assign.data(),
            .assigned_count = assigned,
            .gradients = gradients};
  }

  // As if codes were of a view that is not among those that predict.
  void predict_in_all_views(SwappedPredictionProblem<A>& problem, const Bank& bank) {
    static constexpr int no_view = -1;
    slot_.assign(slot_.size(), -1);
    problem.assigned = &no_view;
    problem.assigned_count = 1;
    problem.pair_weight = static_cast<A>(1.0 / (static_cast<double>(problem.views * problem.samples) *
                                                static_cast<double>(bank.head_prototypes().size())));
  }

  Call prepare(MatrixView<const Scalar> z, const Bank& bank, Index views, const Source& source, bool gradients) {
    const Checks checks{options_.crops_for_assign};
    checks.check_embeddings(z, bank, views);
    checks.check_source(source, bank, z.rows / views);
    Call call{.problem = problem_of(z.rows / views, views, bank, gradients)};
    if (source.codes != nullptr && source.codes->of_samples) predict_in_all_views(call.problem, bank);
    call.z = z_.prepare(device_, z, options_.embeddings == Embeddings::raw, "embeddings");
    call.c = c_.prepare(device_, bank.weights(), options_.prototypes == Prototypes::raw, "prototypes");
    detail::require(std::isfinite(call.problem.inverse_temperature),
                    "SwappedPredictionOptions.temperature: ", options_.temperature,
                    " found, one whose reciprocal is in the scalar's range wanted");
    Checks::check_largest(z_.largest() * c_.largest() / options_.temperature, "logits");
    call.code_z = call.z;
    call.code_c = call.c;
    if (source.codes == nullptr && !predicts_own_codes(source)) prepare_codes(source, call);
    return call;
  }

  // What codes are of, where that is not what predicts them.
  void prepare_codes(const Source& source, Call& call) {
    if (source.embeddings.data != nullptr)
      call.code_z = code_z_.prepare(device_, source.embeddings, options_.embeddings == Embeddings::raw,
                                    "embeddings of the codes");
    if (source.bank != nullptr)
      call.code_c = code_c_.prepare(device_, source.bank->weights(), options_.prototypes == Prototypes::raw,
                                    "prototypes of the codes");
    Checks::check_largest((source.embeddings.data != nullptr ? code_z_ : z_).largest() *
                              (source.bank != nullptr ? code_c_ : c_).largest(),
                          "scores");
  }

  static bool predicts_own_codes(const Source& source) {
    return source.codes == nullptr && source.embeddings.data == nullptr && source.bank == nullptr;
  }

  // Gradients are summed in the accumulator's type: in the result itself where it is of that type.
  template <class Buffer>
  static MatrixView<A> accumulating(MatrixView<Scalar> result, Buffer& storage) {
    if constexpr (std::is_same_v<Scalar, A>)
      return result;
    else
      return {storage.reserve(result.size()), result.rows, result.cols};
  }
  void store(MatrixView<A> sums, MatrixView<Scalar> result) {
    if constexpr (!std::is_same_v<Scalar, A>) Rows::convert(device_, MatrixView<const A>(sums), result);
  }

  CodeStatistics evaluate(const Call& call, const Bank& bank, const Source& source, MatrixView<A> grad_z,
                          MatrixView<A> grad_c, double& value) {
    const std::vector<Index>& heads = bank.head_prototypes();
    CodeStatistics all;
    double sum = 0;
    for (std::size_t head = 0; head < heads.size(); ++head) {
      SwappedPredictionProblem<A> problem = call.problem;
      problem.prototypes = heads[head];
      workspace_.reserve(problem, device_);
      const bool adds = problem.gradients && head > 0;
      const MatrixView<A> head_grad_z =
          adds ? MatrixView<A>(head_grad_z_.reserve(grad_z.size()), grad_z.rows, grad_z.cols) : grad_z;
      const CodeStatistics codes = evaluate_head(problem, call, bank, source, head, head_grad_z, sum);
      all.entropy += codes.entropy / static_cast<double>(heads.size());
      all.prototypes_used += codes.prototypes_used;
      if (!problem.gradients) continue;
      if (adds) Rows::add(device_, MatrixView<const A>(head_grad_z), grad_z);
      Passes::collect_prototype_gradient(device_, problem, grad_c.middle_rows(bank.head_first(head), heads[head]),
                                         workspace_);
    }
    value = sum;
    return all;
  }

  // Scores of assigned views are needed for their codes and again for their predictions. Below this size a copy is
  // kept; above it the product is made again, so that memory stays at |A| B K.
  static constexpr Index most_kept_bytes = Index{64} << 20;

  CodeStatistics evaluate_head(const SwappedPredictionProblem<A>& problem, const Call& call, const Bank& bank,
                               const Source& source, std::size_t head, MatrixView<A> grad_z, double& value) {
    const MatrixView<const A> c = rows_of_head(call.c, bank, head);
    const Index rows = problem.assigned_count * problem.samples;
    const Index entries = rows * problem.prototypes;
    const MatrixView<A> codes(codes_.reserve(entries), rows, problem.prototypes);
    const bool keep = predicts_own_codes(source) && entries * static_cast<Index>(sizeof(A)) <= most_kept_bytes;
    const MatrixView<A> scores = keep ? MatrixView<A>(scores_.reserve(entries), rows, problem.prototypes) : codes;
    if (source.codes != nullptr)
      take_codes(problem, MatrixView<const A>(source.codes->heads[head]), source, codes);
    else
      codes_of_views_.compute(problem, call.code_z, rows_of_head(call.code_c, bank, head), source.queue, scores, codes,
                              workspace_);
    value += Passes::predict(device_, problem, call.z, c, keep ? MatrixView<const A>(scores) : MatrixView<const A>{},
                             MatrixView<const A>(codes), grad_z, workspace_);
    return Passes::code_statistics(device_, problem, MatrixView<const A>(codes), workspace_);
  }

  void take_codes(const SwappedPredictionProblem<A>& problem, MatrixView<const A> all, const Source& source,
                  MatrixView<A> codes) {
    for (Index i = 0; i < problem.assigned_count; ++i)
      Rows::convert(device_, all.middle_rows(i * source.codes->samples + source.first_sample, problem.samples),
                    codes.middle_rows(i * problem.samples, problem.samples));
  }

  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  SwappedPredictionOptions options_;
  Device device_;
  detail::CodesOfViews<Scalar, Device> codes_of_views_;
  typename Passes::template Workspace<A> workspace_;
  detail::PreparedRows<Scalar, Device> z_, c_, code_z_, code_c_;
  Buffer<A> grad_z_, grad_c_, head_grad_z_, scores_, codes_;
  std::vector<int> slot_;
};

}  // namespace swav
