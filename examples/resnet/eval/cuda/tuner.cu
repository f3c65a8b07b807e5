// The tuner of a GPU. In: a network on cuDNN. Out: steps that are enqueued on its stream; only losses are waited for.
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "engine/cuda/linear.cuh"
#include "engine/cuda/program.cuh"
#include "eval/basic_tuner.hpp"
#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/optim_passes.cuh"
#include "swav/backend/cuda/staging.cuh"

namespace swav::resnet {
namespace {

constexpr int row_threads = 128;

/// A block a row of scores, which become their gradients (softmax - the label's 1)/rows; losses_r = the cross-entropy.
template <class T>
__global__ void __launch_bounds__(row_threads)
    cross_entropy_rows(MatrixView<T> scores, const int* labels, double* losses) {
  __shared__ swav::detail::BlockScratch<T, 1> scratch;
  int turn = 0;
  const Index r = blockIdx.x;
  T* const row = scores.row(r);
  const auto first = static_cast<Index>(threadIdx.x);
  T largest[1] = {std::numeric_limits<T>::lowest()}, sum[1] = {T(0)};
  for (Index c = first; c < scores.cols; c += row_threads) largest[0] = row[c] > largest[0] ? row[c] : largest[0];
  swav::detail::reduce_block(largest, swav::detail::CudaMaximum(), scratch, turn);
  const T own = row[labels[r]];
  for (Index c = first; c < scores.cols; c += row_threads) sum[0] += std::exp(row[c] - largest[0]);
  // Its barrier also keeps a thread from writing what another has not read as its own score.
  swav::detail::reduce_block(sum, swav::detail::CudaAdd(), scratch, turn);
  if (threadIdx.x == 0) losses[r] = std::log(static_cast<double>(sum[0])) - static_cast<double>(own - largest[0]);
  const T share = T(1) / static_cast<T>(scores.rows);
  for (Index c = first; c < scores.cols; c += row_threads)
    row[c] = share * (std::exp(row[c] - largest[0]) / sum[0] - (c == labels[r] ? T(1) : T(0)));
}

/// One block: total += the mean of the losses.
template <class T>
__global__ void __launch_bounds__(row_threads) add_mean(const T* losses, Index rows, T* total) {
  __shared__ swav::detail::BlockScratch<T, 1> scratch;
  int turn = 0;
  T sum[1] = {T(0)};
  for (Index r = threadIdx.x; r < rows; r += row_threads) sum[0] += losses[r];
  swav::detail::reduce_block(sum, swav::detail::CudaAdd(), scratch, turn);
  if (threadIdx.x == 0) *total += sum[0] / static_cast<T>(rows);
}

/// See basic_tuner.hpp.
class CudaLayer {
 public:
  using Device = CudaDevice;

  CudaLayer(const Classifier& start, Index rows)
      : classes_(start.classes),
        columns_(start.features),
        rows_(rows),
        arrays_(make_arrays(start)),
        linear_("fc", rows, columns_, classes_, arrays_),
        features_(program_.kept_buffer(static_cast<std::size_t>(rows * columns_) * sizeof(float))),
        scores_(program_.kept_buffer(static_cast<std::size_t>(rows * classes_) * sizeof(float))),
        grad_features_(program_.kept_buffer(static_cast<std::size_t>(rows * columns_) * sizeof(float))) {
    linear_.forward(program_, features_, scores_);
    linear_.backward_weights(program_, features_, scores_);
    linear_.backward_data(program_, scores_, grad_features_);
    program_.finish();
    losses_.reserve(rows + 1);
    clear_loss();
  }

  [[nodiscard]] const CudaDevice& device() const { return program_.device(); }

  MatrixView<const float> step(MatrixView<const float> features, std::span<const int> labels) {
    using swav::detail::launch;
    swav::detail::check_cuda(
        cudaMemcpy2DAsync(features_->data(), bytes(columns_), features.data, bytes(features.stride), bytes(columns_),
                          static_cast<std::size_t>(rows_), cudaMemcpyDeviceToDevice, device().stream()),
        "cudaMemcpy2DAsync");
    const auto label_bytes = static_cast<Index>(labels.size_bytes());
    std::memcpy(staging_.begin(label_bytes), labels.data(), labels.size_bytes());
    const auto* const own = reinterpret_cast<const int*>(staging_.send(device(), label_bytes));
    program_.run(Section::forward);
    launch(device(), rows_, row_threads, cross_entropy_rows<float>,
           MatrixView<float>(scores_->as<float>(), rows_, classes_), own, losses_.data());
    launch(device(), 1, row_threads, add_mean<double>, losses_.data(), rows_, total());
    program_.run(Section::backward);
    return {grad_features_->as<float>(), rows_, columns_};
  }

  [[nodiscard]] std::vector<Parameter<float>> parameters() {
    return {{.value = arrays_.weight, .gradient = arrays_.grad_weight, .name = "fc.weight"},
            {.value = arrays_.bias, .gradient = arrays_.grad_bias, .decays = false, .name = "fc.bias"}};
  }

  [[nodiscard]] double take_loss() {
    double loss = 0;
    swav::detail::download(device(), total(), 1, &loss);
    clear_loss();
    return loss;
  }

  [[nodiscard]] Classifier classifier() const {
    Classifier now = zero_classifier(classes_, columns_);
    swav::detail::download(device(), arrays_.weight.data(), std::ssize(now.weight), now.weight.data());
    swav::detail::download(device(), arrays_.bias.data(), std::ssize(now.bias), now.bias.data());
    return now;
  }

 private:
  static std::size_t bytes(Index count) { return static_cast<std::size_t>(count) * sizeof(float); }

  cuda::Linear::Arrays make_arrays(const Classifier& start) {
    const std::size_t weight = start.weight.size(), bias = start.bias.size();
    float* const base = memory_.reserve(static_cast<Index>(2 * (weight + bias)));
    cuda::Linear::Arrays arrays{
        {base, weight}, {base + weight, bias}, {base + weight + bias, weight}, {base + 2 * weight + bias, bias}};
    swav::detail::upload(device(), start.weight.data(), std::ssize(start.weight), arrays.weight.data());
    swav::detail::upload(device(), start.bias.data(), std::ssize(start.bias), arrays.bias.data());
    return arrays;
  }
  [[nodiscard]] double* total() const { return losses_.data() + rows_; }
  void clear_loss() {
    swav::detail::check_cuda(cudaMemsetAsync(total(), 0, sizeof(double), device().stream()), "cudaMemsetAsync");
  }

  cuda::CudaProgram program_;
  CudaBuffer<float> memory_;
  CudaBuffer<double> losses_;  // a row each, and the total
  swav::detail::Staging staging_;
  Index classes_, columns_, rows_;
  cuda::Linear::Arrays arrays_;
  cuda::Linear linear_;
  Buffer *features_, *scores_, *grad_features_;
};

}  // namespace

std::unique_ptr<Tuner> make_cuda_tuner(const TunerPlan& plan) { return std::make_unique<BasicTuner<CudaLayer>>(plan); }

}  // namespace swav::resnet
