// The swapped-prediction loss, free of any backend. In: embeddings of all views, a prototype bank. Out: the value and
// both gradients. Users include swav/loss/swapped_prediction.hpp, which adds the CPU backend.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "swav/loss/options.hpp"
#include "swav/loss/passes.hpp"
#include "swav/prototypes/basic_bank.hpp"
#include "swav/sinkhorn/solver.hpp"

namespace swav {

/// What one call of the loss gives back.
template <class Scalar, class Device = EigenDevice>
struct SwappedPredictionStep {
  using Matrix = typename Device::template Matrix<Scalar>;
  double value = 0;           ///< L, in nats
  Matrix grad_embeddings;     ///< dL/dx ((V B) x D), with respect to the rows as they were handed in
  Matrix grad_prototypes;     ///< dL/dC (K x D), with respect to the bank's rows as they are
  double codes_entropy = 0;   ///< mean entropy of a row of codes, in nats: ln K when nothing is decided, 0 when one-hot
  Index prototypes_used = 0;  ///< distinct arg max among the batch's codes
};

/// SwAV's loss (Caron et al. 2020, equations 1 and 2, with multi-crop as in section 3.2):
/// L = 1/|A| sum_{i in A} 1/(V-1) sum_{v != i} -(1/B) sum_b q_i,b . log softmax(z_v,b C^T / tau), with codes
/// q_i = B x K rows from `Sinkhorn` on z_i C^T, held constant under differentiation.
///
/// Cost: 3 V products of B x K x D (a value alone: V), and |A| more when |A| B K entries exceed 64 MiB; memory beyond
/// inputs and results: |A| B K for the codes, as much again for the scores while that is at most 64 MiB, and per thread
/// a block of rows and one K x D gradient. The (V B) x K logits never exist: a block of rows at a time is scored,
/// turned into n softmax - T in place, multiplied twice and forgotten (docs/mathematics.md).
///
/// An object owns its workspace: calls after the first of a shape allocate nothing, and one object must not be used by
/// two threads at once. 16-bit scalars are computed in float throughout.
template <class Scalar, class Device = EigenDevice>
class SwappedPredictionLoss {
  using A = Accumulator<Scalar>;
  using Passes = LossPasses<Device>;
  using Rows = RowPasses<Device>;

 public:
  using Bank = PrototypeBank<Scalar, Device>;
  using Step = SwappedPredictionStep<Scalar, Device>;

  /// Throws InvalidInput when an option is out of range.
  explicit SwappedPredictionLoss(SwappedPredictionOptions options = {}, Device device = {})
      : options_(std::move(options)), device_(device), sinkhorn_(options_.sinkhorn, device) {
    detail::check(options_);
  }

  [[nodiscard]] const SwappedPredictionOptions& options() const { return options_; }

  /// z: (views B) x D, view-major (row v B + b is sample b in view v). Throws InvalidInput when z is empty or not
  /// finite, its columns are not the bank's dimension, views < 2, views does not divide the rows, or a view of
  /// crops_for_assign is not among them.
  [[nodiscard]] Step operator()(MatrixView<const Scalar> z, const Bank& bank, Index views) {
    Step step;
    step_into(z, bank, views, step);
    return step;
  }

  /// The same into an existing step, whose matrices are resized only when their shapes differ. Neither may overlap z or
  /// the bank. `step` is unchanged when this throws InvalidInput.
  void step_into(MatrixView<const Scalar> z, const Bank& bank, Index views, Step& step) {
    Call call = prepare(z, bank, views, true);
    resize(step.grad_embeddings, z.rows, z.cols);
    resize(step.grad_prototypes, bank.prototypes(), bank.dimension());
    const MatrixView<A> grad_z = accumulating(MatrixView<Scalar>(step.grad_embeddings), grad_z_);
    const MatrixView<A> grad_c = accumulating(MatrixView<Scalar>(step.grad_prototypes), grad_c_);

    const CodeStatistics codes = evaluate(call, grad_z, step.value);
    step.codes_entropy = codes.entropy;
    step.prototypes_used = codes.prototypes_used;

    if (options_.embeddings == Embeddings::raw) Rows::normalize_gradient(device_, call.z, z_norms_.data(), grad_z);
    Passes::collect_prototype_gradient(device_, call.problem, grad_c, workspace_);
    if (options_.prototypes == Prototypes::raw) Rows::normalize_gradient(device_, call.c, c_norms_.data(), grad_c);
    store(grad_z, MatrixView<Scalar>(step.grad_embeddings));
    store(grad_c, MatrixView<Scalar>(step.grad_prototypes));
  }

  /// L alone, without gradients: about a third of the work. Same arguments, same errors.
  [[nodiscard]] double value(MatrixView<const Scalar> z, const Bank& bank, Index views) {
    Call call = prepare(z, bank, views, false);
    double result = 0;
    evaluate(call, MatrixView<A>{}, result);
    return result;
  }

 private:
  struct Call {
    SwappedPredictionProblem<A> problem;
    MatrixView<const A> z;
    MatrixView<const A> c;
  };

  template <class Matrix>
  static void resize(Matrix& matrix, Index rows, Index cols) {
    const MatrixView<Scalar> now(matrix);
    if (now.rows != rows || now.cols != cols) matrix = Matrix(rows, cols);
  }

  Call prepare(MatrixView<const Scalar> z, const Bank& bank, Index views, bool gradients) {
    const MatrixView<const Scalar> c = bank.weights();
    check_shapes(z, c, views);
    Call call;
    call.problem.views = views;
    call.problem.samples = z.rows / views;
    call.problem.prototypes = c.rows;
    call.problem.dimension = c.cols;
    call.problem.inverse_temperature = static_cast<A>(1.0 / options_.temperature);
    call.problem.assigned = options_.crops_for_assign.data();
    call.problem.assigned_count = static_cast<Index>(options_.crops_for_assign.size());
    call.problem.pair_weight =
        static_cast<A>(1.0 / (static_cast<double>(call.problem.assigned_count) * static_cast<double>(views - 1) *
                              static_cast<double>(call.problem.samples)));
    call.problem.gradients = gradients;
    slot_.assign(static_cast<std::size_t>(views), -1);
    for (std::size_t i = 0; i < options_.crops_for_assign.size(); ++i)
      slot_[static_cast<std::size_t>(options_.crops_for_assign[i])] = static_cast<int>(i);
    call.problem.slot = slot_.data();

    A z_length{}, c_length{};
    call.z = prepare_rows(z, options_.embeddings == Embeddings::raw, z_unit_, z_norms_, z_length, "embeddings");
    call.c = prepare_rows(c, options_.prototypes == Prototypes::raw, c_unit_, c_norms_, c_length, "prototypes");
    const double largest = static_cast<double>(z_length) * static_cast<double>(c_length) / options_.temperature;
    detail::require(std::isfinite(call.problem.inverse_temperature),
                    "SwappedPredictionOptions.temperature: ", options_.temperature,
                    " found, one whose reciprocal is in the scalar's range wanted");
    detail::require(largest <= static_cast<double>(std::numeric_limits<A>::max()) / 8,
                    "SwappedPredictionLoss: logits up to ", largest, " found, within the scalar's range wanted");
    workspace_.reserve(call.problem, device_);
    return call;
  }

  void check_shapes(MatrixView<const Scalar> z, MatrixView<const Scalar> c, Index views) const {
    detail::check_view("SwappedPredictionLoss: embeddings", z);
    detail::require(z.rows > 0, "SwappedPredictionLoss: embeddings without rows found, (views x samples) rows wanted");
    detail::require(z.cols == c.cols, "SwappedPredictionLoss: embeddings of dimension ", z.cols, " found, the bank's ",
                    c.cols, " wanted");
    detail::require(views >= 2, "SwappedPredictionLoss: views ", views, " found, 2 or more wanted");
    detail::require(z.rows % views == 0, "SwappedPredictionLoss: ", z.rows,
                    " rows of embeddings found, a multiple of views ", views, " wanted");
    const int last = *std::max_element(options_.crops_for_assign.begin(), options_.crops_for_assign.end());
    detail::require(last < views, "SwappedPredictionLoss: crops_for_assign has view ", last, ", below views ", views,
                    " wanted");
  }

  // The rows in the accumulator's type, normalised if asked: the input itself when nothing is to be done to it.
  template <class Buffer>
  MatrixView<const A> prepare_rows(MatrixView<const Scalar> rows, bool normalize, Buffer& storage, Buffer& norms,
                                   A& largest, const char* name) {
    MatrixView<const A> result;
    if (normalize) {
      norms.reserve(rows.rows);
      const MatrixView<A> unit(storage.reserve(rows.size()), rows.rows, rows.cols);
      largest = Rows::normalize(device_, rows, unit, norms.data());
      if (largest == largest) largest = A(1);
      result = unit;
    } else {
      largest = Rows::largest_norm(device_, rows);
      if constexpr (std::is_same_v<Scalar, A>) {
        result = rows;
      } else {
        const MatrixView<A> converted(storage.reserve(rows.size()), rows.rows, rows.cols);
        Rows::convert(device_, rows, converted);
        result = converted;
      }
    }
    detail::require(largest == largest, "SwappedPredictionLoss: ", name,
                    " with a NaN or infinite entry found, finite values wanted");
    return result;
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

  // Scores of assigned views are needed for their codes and again for their predictions. Below this size a copy is
  // kept; above it the product is made again, so that memory stays at |A| B K.
  static constexpr Index most_kept_bytes = Index{64} << 20;

  CodeStatistics evaluate(const Call& call, MatrixView<A> grad_z, double& value) {
    const auto& problem = call.problem;
    const Index rows = problem.assigned_count * problem.samples;
    const Index entries = rows * problem.prototypes;
    const MatrixView<A> codes(codes_.reserve(entries), rows, problem.prototypes);
    const bool keep = entries * static_cast<Index>(sizeof(A)) <= most_kept_bytes;
    const MatrixView<A> scores = keep ? MatrixView<A>(scores_.reserve(entries), rows, problem.prototypes) : codes;
    Passes::score(device_, problem, call.z, call.c, scores, workspace_);
    for (Index i = 0; i < problem.assigned_count; ++i) {
      const Index first = i * problem.samples;
      sinkhorn_.codes_into(MatrixView<const A>(scores.middle_rows(first, problem.samples)),
                           codes.middle_rows(first, problem.samples));
    }
    value =
        Passes::predict(device_, problem, call.z, call.c, keep ? MatrixView<const A>(scores) : MatrixView<const A>{},
                        MatrixView<const A>(codes), grad_z, workspace_);
    return Passes::code_statistics(device_, problem, MatrixView<const A>(codes), workspace_);
  }

  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  SwappedPredictionOptions options_;
  Device device_;
  Sinkhorn<A, Device> sinkhorn_;
  typename Passes::template Workspace<A> workspace_;
  Buffer<A> z_unit_, z_norms_, c_unit_, c_norms_, grad_z_, grad_c_, scores_, codes_;
  std::vector<int> slot_;
};

}  // namespace swav
