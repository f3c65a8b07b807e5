// The order of work of the swapped-prediction loss, free of any backend. In: checked arguments. Out: the value, the
// gradients, codes. Its public face is SwappedPredictionLoss in basic_swapped_prediction.hpp.
#pragma once

#include <type_traits>
#include <vector>

#include "swav/loss/basic_checks.hpp"
#include "swav/loss/basic_codes.hpp"
#include "swav/loss/basic_rows.hpp"
#include "swav/loss/basic_share.hpp"
#include "swav/loss/code_source.hpp"
#include "swav/loss/options.hpp"
#include "swav/loss/passes.hpp"
#include "swav/loss/step.hpp"

namespace swav::detail {

/// What SwappedPredictionLoss does. `check` throws where the arguments do not fit each other, `shape` gives the results
/// their shapes once the input has been found to be sound. Owns the workspace. A backend whose work is not to be waited
/// for, where nothing can be decided on the host, specialises it for its device.
template <class Scalar, class Device, class Group>
class LossWork {
  using A = Accumulator<Scalar>;
  using Passes = LossPasses<Device>;
  using Rows = RowPasses<Device>;
  using Checks = LossChecks<Scalar, Device>;
  using Bank = PrototypeBank<Scalar, Device>;
  using Step = SwappedPredictionStep<Scalar, Device>;
  using Source = CodeSource<Scalar, Device>;
  using Codes = ViewCodes<Scalar, Device>;
  using Queue = EmbeddingQueue<Scalar, Device>;

 public:
  LossWork(const SwappedPredictionOptions& options, const Device& device, const Group& group)
      : device_(device), codes_of_views_(options.sinkhorn, device, group), share_(group) {}

  void set_epsilon(double epsilon) { codes_of_views_.set_epsilon(epsilon); }

  template <class Check, class Shape>
  void step(const SwappedPredictionOptions& options, MatrixView<const Scalar> z, const Bank& bank, Index views,
            Step& step, const Source& source, Check check, Shape shape) {
    const Call call = agreed([&] {
      check();
      return prepare(options, z, bank, views, source, true);
    });
    shape();
    const MatrixView<A> grad_z = accumulating(MatrixView<Scalar>(step.grad_embeddings), grad_z_);
    const MatrixView<A> grad_c = accumulating(MatrixView<Scalar>(step.grad_prototypes), grad_c_);

    const CodeStatistics codes = evaluate(call, bank, source, grad_z, grad_c, step.value);
    step.codes_entropy = codes.entropy;
    step.prototypes_used = codes.prototypes_used;

    share_.sum(grad_c);
    if (options.embeddings == Embeddings::raw) Rows::normalize_gradient(device_, call.z, z_.norms(), grad_z);
    if (options.prototypes == Prototypes::raw) Rows::normalize_gradient(device_, call.c, c_.norms(), grad_c);
    store(grad_z, MatrixView<Scalar>(step.grad_embeddings));
    store(grad_c, MatrixView<Scalar>(step.grad_prototypes));
    if (source.queue != nullptr)
      share_.push(device_, call.code_z, call.problem.samples, 1, options.crops_for_assign, *source.queue);
  }

  template <class Check>
  double value(const SwappedPredictionOptions& options, MatrixView<const Scalar> z, const Bank& bank, Index views,
               Check check) {
    const Call call = agreed([&] {
      check();
      return prepare(options, z, bank, views, {}, false);
    });
    double result = 0;
    evaluate(call, bank, {}, {}, {}, result);
    return result;
  }

  template <class Check, class Shape>
  void codes(const SwappedPredictionOptions& options, MatrixView<const Scalar> embeddings, const Bank& bank,
             Index samples, Codes& codes, Queue* queue, Index parts, Check check, Shape shape) {
    Call call = agreed([&] {
      check();
      Call prepared{.problem = problem_of(options, samples, embeddings.rows / samples, bank, false)};
      prepare_codes(options, {.embeddings = embeddings, .bank = &bank}, prepared);
      return prepared;
    });
    shape();
    for (std::size_t head = 0; head < codes.heads.size(); ++head) {
      call.problem.prototypes = bank.head_prototypes()[head];
      workspace_.reserve(call.problem, device_);
      const MatrixView<A> out(codes.heads[head]);
      codes_of_views_.compute(call.problem, call.code_z, rows_of_head(call.code_c, bank, head), queue, out, out,
                              workspace_);
    }
    if (queue != nullptr) share_.push(device_, call.code_z, samples, parts, options.crops_for_assign, *queue);
  }

 private:
  struct Call {
    SwappedPredictionProblem<A> problem = {};  // its prototypes are a head's
    MatrixView<const A> z = {}, c = {};
    MatrixView<const A> code_z = {}, code_c = {};  // what codes are of: the same, unless the source says otherwise
  };

  // A call that is sound in every process, weighed by the samples of all.
  template <class Make>
  Call agreed(Make make) {
    Call call;
    share_.agree([&] {
      call = make();
      return call.problem.samples;
    });
    call.problem.pair_weight = static_cast<A>(static_cast<double>(call.problem.pair_weight) * share_.part());
    return call;
  }

  static MatrixView<const A> rows_of_head(MatrixView<const A> c, const Bank& bank, std::size_t head) {
    return c.middle_rows(bank.head_first(head), bank.head_prototypes()[head]);
  }

  // Of no head yet.
  SwappedPredictionProblem<A> problem_of(const SwappedPredictionOptions& options, Index samples, Index views,
                                         const Bank& bank, bool gradients) {
    const auto assigned = static_cast<Index>(options.crops_for_assign.size());
    slot_.assign(static_cast<std::size_t>(views), -1);
    for (std::size_t i = 0; i < options.crops_for_assign.size(); ++i)
      slot_[static_cast<std::size_t>(options.crops_for_assign[i])] = static_cast<int>(i);
    const double pairs = static_cast<double>(assigned) * static_cast<double>(views - 1) * static_cast<double>(samples);
    return {.views = views,
            .samples = samples,
            .dimension = bank.dimension(),
            .inverse_temperature = static_cast<A>(1.0 / options.temperature),
            .pair_weight = static_cast<A>(1.0 / (pairs * static_cast<double>(bank.head_prototypes().size()))),
            .slot = slot_.data(),
            .assigned = options.crops_for_assign.data(),
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

  Call prepare(const SwappedPredictionOptions& options, MatrixView<const Scalar> z, const Bank& bank, Index views,
               const Source& source, bool gradients) {
    Call call{.problem = problem_of(options, z.rows / views, views, bank, gradients)};
    if (source.codes != nullptr && source.codes->of_samples) predict_in_all_views(call.problem, bank);
    call.z = z_.prepare(device_, z, options.embeddings == Embeddings::raw, "embeddings");
    call.c = c_.prepare(device_, bank.weights(), options.prototypes == Prototypes::raw, "prototypes");
    Checks::check_largest(z_.largest() * c_.largest() / options.temperature, "logits");
    call.code_z = call.z;
    call.code_c = call.c;
    if (source.codes == nullptr && !predicts_own_codes(source)) prepare_codes(options, source, call);
    return call;
  }

  // What codes are of, where that is not what predicts them.
  void prepare_codes(const SwappedPredictionOptions& options, const Source& source, Call& call) {
    if (source.embeddings.data != nullptr)
      call.code_z =
          code_z_.prepare(device_, source.embeddings, options.embeddings == Embeddings::raw, "embeddings of the codes");
    if (source.bank != nullptr)
      call.code_c = code_c_.prepare(device_, source.bank->weights(), options.prototypes == Prototypes::raw,
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
    share_.join(sum, all.entropy);
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
    CodeStatistics statistics = Passes::code_statistics(device_, problem, MatrixView<const A>(codes), workspace_);
    if constexpr (!std::is_same_v<Group, SelfCommunicator>)
      statistics.prototypes_used = Passes::merge_used(device_, share_.group(), problem, workspace_);
    return statistics;
  }

  void take_codes(const SwappedPredictionProblem<A>& problem, MatrixView<const A> all, const Source& source,
                  MatrixView<A> codes) {
    for (Index i = 0; i < problem.assigned_count; ++i)
      Rows::convert(device_, all.middle_rows(i * source.codes->samples + source.first_sample, problem.samples),
                    codes.middle_rows(i * problem.samples, problem.samples));
  }

  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  Device device_;
  CodesOfViews<Scalar, Device, Group> codes_of_views_;
  BatchShare<Scalar, Device, Group> share_;
  typename Passes::template Workspace<A> workspace_;
  PreparedRows<Scalar, Device> z_, c_, code_z_, code_c_;
  Buffer<A> grad_z_, grad_c_, head_grad_z_, scores_, codes_;
  std::vector<int> slot_;
};

}  // namespace swav::detail
