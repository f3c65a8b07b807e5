// Convolutions by cuDNN. In: shapes and buffers. Out: steps.
#include "engine/cuda/convolution.cuh"

#include <array>
#include <map>
#include <utility>
#include <vector>

#include "engine/cuda/channel_grid.cuh"

namespace swav::resnet::cuda {
namespace {

using swav::detail::launch;

constexpr float one = 1.0f, zero = 0.0f;
constexpr std::size_t most_workspace = std::size_t{1} << 30;

/// Where a master weight is in the copy: out x kernel x kernel x padded channels.
struct FilterShape {
  Index out, in, pixels, padded;

  [[nodiscard]] constexpr Index count() const { return out * pixels * padded; }
};

[[nodiscard]] constexpr Index blocks_for(Index count) { return (count + grid_threads - 1) / grid_threads; }

__device__ inline Index thread_index() { return static_cast<Index>(blockIdx.x) * grid_threads + threadIdx.x; }

template <class T>
__global__ void __launch_bounds__(grid_threads) convert_filters(FilterShape shape, const float* master, T* copy) {
  const Index at = thread_index();
  if (at >= shape.count()) return;
  const Index i = at % shape.padded, pixel = at / shape.padded % shape.pixels, o = at / shape.padded / shape.pixels;
  copy[at] = static_cast<T>(i < shape.in ? master[(o * shape.in + i) * shape.pixels + pixel] : 0.0f);
}

template <class T>
__global__ void __launch_bounds__(grid_threads)
    collect_filters(FilterShape shape, const T* computed, float* gradient, bool adds) {
  const Index at = thread_index();  // of the master
  if (at >= shape.out * shape.in * shape.pixels) return;
  const Index pixel = at % shape.pixels, i = at / shape.pixels % shape.in, o = at / shape.pixels / shape.in;
  const float value = static_cast<float>(computed[(o * shape.pixels + pixel) * shape.padded + i]);
  gradient[at] = adds ? gradient[at] + value : value;
}

template <class Algorithm>
struct Choice {
  Algorithm algorithm;
  std::size_t workspace_bytes;
};

/// The first of cuDNN's suggestions that works and always gives the same bits, else the first that works; sets the
/// descriptor to it, but that products of floats keep float's digits. The calls that are asked take the descriptors in
/// the same order in each direction; `measure` has timed what it suggests, and is asked once a shape.
template <class Suggestion, class Count, class Suggest, class Size, class First, class Second, class Third>
auto choose(cudnnHandle_t handle, const std::string& name, const std::array<Index, 7>& shape, Precision precision,
            Count count_suggestions, Suggest suggest, Suggest measure, Size workspace, const First& first,
            const Second& second, const ConvolutionDescriptor& convolution, const Third& third) {
  const auto ask = [&](Suggest how) {
    int count = 0;
    check_cudnn(count_suggestions(handle, &count), (name + ": cuDNN's number of algorithms").c_str());
    std::vector<Suggestion> answers(static_cast<std::size_t>(count));
    check_cudnn(how(handle, first.get(), second.get(), convolution.get(), third.get(), count, &count, answers.data()),
                (name + ": cuDNN's choice of an algorithm").c_str());
    answers.resize(static_cast<std::size_t>(count));
    return answers;
  };
  std::vector<Suggestion> suggestions;
  if (algorithm_choice() == AlgorithmChoice::timing) {
    thread_local std::map<std::array<Index, 7>, std::vector<Suggestion>> timed;  // in this direction
    std::vector<Suggestion>& known = timed[shape];
    if (known.empty()) {
      (void)ask(measure);  // CUDA loads a kernel at its first launch, which would count as its time
      known = ask(measure);
    }
    suggestions = known;
  } else {
    suggestions = ask(suggest);
  }
  for (const bool same_bits : {true, false})
    for (const Suggestion& s : suggestions) {
      if (s.status != CUDNN_STATUS_SUCCESS || s.memory > most_workspace) continue;
      if (same_bits && s.determinism != CUDNN_DETERMINISTIC) continue;
      if (precision == Precision::bfloat16)
        check_cudnn(cudnnSetConvolutionMathType(convolution.get(), s.mathType), "cudnnSetConvolutionMathType");
      Choice<decltype(s.algo)> choice{s.algo, 0};
      // Refused where it was suggested for other products than these.
      if (workspace(handle, first.get(), second.get(), convolution.get(), third.get(), s.algo,
                    &choice.workspace_bytes) == CUDNN_STATUS_SUCCESS)
        return choice;
    }
  throw CudaError(name + ": cuDNN has no algorithm for it");
}

}  // namespace

ConvolutionWeights::ConvolutionWeights(std::string name, Index out_channels, Index in_channels, Index kernel,
                                       std::span<float> value, std::span<float> gradient)
    : name_(std::move(name)),
      out_channels_(out_channels),
      in_channels_(in_channels),
      kernel_(kernel),
      value_(value),
      gradient_(gradient) {}

Buffer* ConvolutionWeights::converted(CudaProgram& program, Section section, Index in_channels, Precision precision) {
  if (converted_ != nullptr) return converted_;
  const FilterShape shape{out_channels_, in_channels_, kernel_ * kernel_, in_channels};
  const std::size_t bytes = static_cast<std::size_t>(shape.count()) * bytes_of(precision);
  converted_ = section == Section::prepare ? program.kept_buffer(bytes) : program.buffer(bytes);
  program.add(section, name_ + " weights", {converted_},
              [=, device = program.device(), copy = converted_, value = value_.data()] {
                if (precision == Precision::float32)
                  launch(device, blocks_for(shape.count()), grid_threads, convert_filters<float>, shape, value,
                         copy->as<float>());
                else
                  launch(device, blocks_for(shape.count()), grid_threads, convert_filters<__nv_bfloat16>, shape, value,
                         copy->as<__nv_bfloat16>());
              });
  return converted_;
}

void ConvolutionWeights::collect_gradient(CudaProgram& program, Buffer* computed, Index in_channels,
                                          Precision precision) {
  const FilterShape shape{out_channels_, in_channels_, kernel_ * kernel_, in_channels};
  const bool adds = std::exchange(gradient_started_, true);
  program.add(
      Section::backward, name_ + " gradient", {computed}, [=, device = program.device(), gradient = gradient_.data()] {
        const Index blocks = blocks_for(shape.out * shape.in * shape.pixels);
        if (precision == Precision::float32)
          launch(device, blocks, grid_threads, collect_filters<float>, shape, computed->as<float>(), gradient, adds);
        else
          launch(device, blocks, grid_threads, collect_filters<__nv_bfloat16>, shape, computed->as<__nv_bfloat16>(),
                 gradient, adds);
      });
}

Convolution::Convolution(ConvolutionWeights& weights, CudaLayout input, Index stride, Precision precision)
    : weights_(weights), input_(input), output_(input), stride_(stride), precision_(precision) {
  output_.channels = weights.out_channels();
  output_.size = (input.size - 1) / stride + 1;
}

void Convolution::forward(CudaProgram& program, Section weights_section, Buffer* input, Buffer* output) {
  input_buffer_ = input;
  filters_ = weights_.converted(program, weights_section, input_.channels, precision_);
  input_descriptor_ = describe(input_, precision_);
  output_descriptor_ = describe(output_, precision_);
  filter_descriptor_ = describe_filters(weights_.out_channels(), input_.channels, weights_.kernel(), precision_);
  forward_ = describe_convolution(weights_.kernel(), stride_, precision_);

  const std::string name = weights_.name() + " forward";
  const auto [algorithm, bytes] = choose<cudnnConvolutionFwdAlgoPerf_t>(
      program.cudnn(), name, shape(), precision_, cudnnGetConvolutionForwardAlgorithmMaxCount,
      cudnnGetConvolutionForwardAlgorithm_v7, cudnnFindConvolutionForwardAlgorithm,
      cudnnGetConvolutionForwardWorkspaceSize, input_descriptor_, filter_descriptor_, forward_, output_descriptor_);
  Buffer* const workspace = program.buffer(bytes);
  program.add(Section::forward, name, {input, filters_, output, workspace},
              [this, handle = program.cudnn(), output, workspace, bytes = bytes, algorithm = algorithm] {
                check_cudnn(
                    cudnnConvolutionForward(handle, &one, input_descriptor_.get(), input_buffer_->data(),
                                            filter_descriptor_.get(), filters_->data(), forward_.get(), algorithm,
                                            workspace->data(), bytes, &zero, output_descriptor_.get(), output->data()),
                    "cudnnConvolutionForward");
              });
}

void Convolution::backward_weights(CudaProgram& program, Buffer* grad_output) {
  backward_weights_ = describe_convolution(weights_.kernel(), stride_, precision_);
  const std::string name = weights_.name() + " backward weights";
  const auto [algorithm, bytes] = choose<cudnnConvolutionBwdFilterAlgoPerf_t>(
      program.cudnn(), name, shape(), precision_, cudnnGetConvolutionBackwardFilterAlgorithmMaxCount,
      cudnnGetConvolutionBackwardFilterAlgorithm_v7, cudnnFindConvolutionBackwardFilterAlgorithm,
      cudnnGetConvolutionBackwardFilterWorkspaceSize, input_descriptor_, output_descriptor_, backward_weights_,
      filter_descriptor_);
  Buffer* const workspace = program.buffer(bytes);
  Buffer* const computed =
      program.buffer(static_cast<std::size_t>(weights_.count(input_.channels)) * bytes_of(precision_));
  program.add(Section::backward, name, {input_buffer_, grad_output, computed, workspace},
              [this, handle = program.cudnn(), grad_output, computed, workspace, bytes = bytes, algorithm = algorithm] {
                check_cudnn(cudnnConvolutionBackwardFilter(handle, &one, input_descriptor_.get(), input_buffer_->data(),
                                                           output_descriptor_.get(), grad_output->data(),
                                                           backward_weights_.get(), algorithm, workspace->data(), bytes,
                                                           &zero, filter_descriptor_.get(), computed->data()),
                            "cudnnConvolutionBackwardFilter");
              });
  weights_.collect_gradient(program, computed, input_.channels, precision_);
}

void Convolution::backward_data(CudaProgram& program, Buffer* grad_output, Buffer* grad_input) {
  backward_data_ = describe_convolution(weights_.kernel(), stride_, precision_);
  const std::string name = weights_.name() + " backward data";
  const auto [algorithm, bytes] = choose<cudnnConvolutionBwdDataAlgoPerf_t>(
      program.cudnn(), name, shape(), precision_, cudnnGetConvolutionBackwardDataAlgorithmMaxCount,
      cudnnGetConvolutionBackwardDataAlgorithm_v7, cudnnFindConvolutionBackwardDataAlgorithm,
      cudnnGetConvolutionBackwardDataWorkspaceSize, filter_descriptor_, output_descriptor_, backward_data_,
      input_descriptor_);
  Buffer* const workspace = program.buffer(bytes);
  program.add(
      Section::backward, name, {grad_output, filters_, grad_input, workspace},
      [this, handle = program.cudnn(), grad_output, grad_input, workspace, bytes = bytes, algorithm = algorithm] {
        check_cudnn(
            cudnnConvolutionBackwardData(handle, &one, filter_descriptor_.get(), filters_->data(),
                                         output_descriptor_.get(), grad_output->data(), backward_data_.get(), algorithm,
                                         workspace->data(), bytes, &zero, input_descriptor_.get(), grad_input->data()),
            "cudnnConvolutionBackwardData");
      });
}

}  // namespace swav::resnet::cuda
