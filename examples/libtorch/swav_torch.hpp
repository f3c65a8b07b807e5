// SwAV's loss and codes as autograd functions of libtorch. In: tensors on the CPU, whose memory is used as it is. Out:
// a loss that backward() goes through; codes.
#pragma once

#include <torch/torch.h>
#include <swav/loss/swapped_prediction.hpp>
#include <swav/sinkhorn/sinkhorn.hpp>

#include <cstdint>
#include <memory>
#include <utility>

namespace swav_torch {

/// A tensor's memory as swav sees it: two dimensions, `Scalar`, on the CPU, the elements of a row adjacent (its rows
/// may be apart). Copies nothing; valid while the tensor is. Throws swav::InvalidInput for any other tensor.
template <class Scalar>
[[nodiscard]] swav::MatrixView<Scalar> view(const torch::Tensor& tensor, const char* name) {
  using swav::detail::require;
  require(tensor.defined() && tensor.device().is_cpu() && tensor.layout() == torch::kStrided, name,
          ": a tensor on the CPU, dense, wanted");
  require(tensor.scalar_type() == c10::CppTypeToScalarType<std::remove_const_t<Scalar>>::value, name, ": a tensor of ",
          tensor.scalar_type(), " found, ", c10::CppTypeToScalarType<std::remove_const_t<Scalar>>::value, " wanted");
  require(tensor.dim() == 2 && (tensor.stride(1) == 1 || tensor.size(1) <= 1), name, ": a tensor of ", tensor.dim(),
          " dimensions found, 2 wanted, with the elements of a row adjacent (contiguous() makes it so)");
  return {tensor.data_ptr<std::remove_const_t<Scalar>>(), tensor.size(0), tensor.size(1), tensor.stride(0)};
}

namespace detail {

template <class Scalar>
struct LossFunction : torch::autograd::Function<LossFunction<Scalar>> {
  using Loss = swav::SwappedPredictionLoss<Scalar>;

  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& embeddings,
                               const torch::Tensor& /*prototypes*/, std::int64_t views,
                               const std::shared_ptr<swav::PrototypeBank<Scalar>>& bank,
                               const std::shared_ptr<Loss>& loss) {
    auto step = std::make_shared<swav::SwappedPredictionStep<Scalar>>();
    loss->step_into(view<const Scalar>(embeddings, "embeddings"), *bank, views, *step);
    // The gradients stay where swav put them; `step` lives as long as a tensor on them does.
    const auto tensor = [&](swav::RowMatrix<Scalar>& matrix) {
      return torch::from_blob(
          matrix.data(), {matrix.rows(), matrix.cols()}, [step](void*) {}, embeddings.options());
    };
    context->save_for_backward({tensor(step->grad_embeddings), tensor(step->grad_prototypes)});
    return torch::full({}, step->value, embeddings.options());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_loss) {
    const torch::autograd::variable_list gradients = context->get_saved_variables();
    return {gradients[0] * grad_loss[0], gradients[1] * grad_loss[0], torch::Tensor(), torch::Tensor(),
            torch::Tensor()};
  }
};

template <class Scalar>
struct CodesFunction : torch::autograd::Function<CodesFunction<Scalar>> {
  using Solver = swav::Sinkhorn<Scalar>;

  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& scores,
                               const std::shared_ptr<Solver>& solver) {
    torch::Tensor codes = torch::empty({scores.size(0), scores.size(1)}, scores.options());
    solver->codes_into(view<const Scalar>(scores, "scores"), view<Scalar>(codes, "codes"));
    context->mark_non_differentiable({codes});
    return codes;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list&) {
    return {torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace detail

/// A prototype bank of swav's and a parameter of libtorch's in the same memory: what an optimiser of either does to it
/// the other sees.
template <class Scalar>
class Prototypes {
 public:
  Prototypes(swav::Index prototypes, swav::Index dimension, std::uint64_t seed)
      : bank_(std::make_shared<swav::PrototypeBank<Scalar>>(prototypes, dimension, seed)) {
    const swav::MatrixView<Scalar> rows = bank_->weights();
    parameter_ = torch::from_blob(
                     rows.data, {rows.rows, rows.cols}, [bank = bank_](void*) {},
                     torch::dtype(c10::CppTypeToScalarType<Scalar>::value))
                     .requires_grad_();
  }

  /// To be registered in a module, or handed to an optimiser.
  [[nodiscard]] const torch::Tensor& parameter() const { return parameter_; }
  [[nodiscard]] const std::shared_ptr<swav::PrototypeBank<Scalar>>& bank() const { return bank_; }

 private:
  std::shared_ptr<swav::PrototypeBank<Scalar>> bank_;
  torch::Tensor parameter_;
};

/// swav::SwappedPredictionLoss in a graph of libtorch's. Value and both gradients come from one pass in forward();
/// derivatives of second order are not there. One object must not be used by two threads at once.
template <class Scalar>
class SwappedPredictionLoss {
 public:
  explicit SwappedPredictionLoss(swav::SwappedPredictionOptions options = {})
      : loss_(std::make_shared<swav::SwappedPredictionLoss<Scalar>>(std::move(options))) {}

  /// embeddings: (views B) x D, view-major. Throws swav::InvalidInput as swav's loss does.
  [[nodiscard]] torch::Tensor operator()(const torch::Tensor& embeddings, const Prototypes<Scalar>& prototypes,
                                         std::int64_t views) const {
    return detail::LossFunction<Scalar>::apply(embeddings, prototypes.parameter(), views, prototypes.bank(), loss_);
  }

 private:
  std::shared_ptr<swav::SwappedPredictionLoss<Scalar>> loss_;
};

/// swav::Sinkhorn's codes of a tensor of scores (B x K), without gradient, as SwAV has them.
template <class Scalar>
class Sinkhorn {
 public:
  explicit Sinkhorn(swav::SinkhornOptions options = {})
      : solver_(std::make_shared<swav::Sinkhorn<Scalar>>(std::move(options))) {}

  [[nodiscard]] torch::Tensor codes(const torch::Tensor& scores) const {
    return detail::CodesFunction<Scalar>::apply(scores, solver_);
  }

 private:
  std::shared_ptr<swav::Sinkhorn<Scalar>> solver_;
};

}  // namespace swav_torch
