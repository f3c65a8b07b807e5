// The order of batch norm's kernels. In: buffers. Out: steps.
#include "engine/cuda/batch_norm.cuh"

#include <utility>
#include <vector>

#include "engine/cuda/norm_kernels.cuh"

namespace swav::resnet::cuda {
namespace {

using swav::detail::launch;

Affine affine(const NormCoefficients& c) { return {c.scale, c.shift}; }
GradientMap gradient_map(const NormCoefficients& c) { return {c.a, c.b, c.c}; }

/// body(T, width, grid) for an activation.
template <class Body>
void with_grid(const CudaDevice& device, Precision precision, const CudaLayout& layout, Body body) {
  with_storage(precision, layout.channels, [&](auto type, auto width) {
    body(type, width, channel_grid(device, layout.rows(), layout.channels, decltype(width)::value));
  });
}

}  // namespace

BatchNorm::BatchNorm(CudaProgram& program, NormParameters& parameters, CudaLayout layout, Precision precision)
    : parameters_(parameters), layout_(layout), precision_(precision), device_(program.device()) {
  const Index channels = layout.channels;
  float* next = floats_.reserve(7 * channels);
  NormCoefficients& c = coefficients_;
  for (float** values : {&c.mean, &c.inverse_deviation, &c.scale, &c.shift, &c.a, &c.b, &c.c}) {
    *values = next;
    next += channels;
  }
  c.sums = doubles_.reserve(3 * channels);
}

NormPointers BatchNorm::pointers() const {
  const NormArrays& a = parameters_.arrays();
  return {a.weight.data(),           a.bias.data(),        a.running_mean.data(),
          a.running_variance.data(), a.grad_weight.data(), a.grad_bias.data()};
}

Buffer* BatchNorm::partials(CudaProgram& program, int count) const {
  Buffer* buffer = nullptr;
  with_grid(device_, precision_, layout_, [&](auto, auto, const ChannelGrid& grid) {
    buffer = program.buffer(static_cast<std::size_t>(Index{grid.row_blocks} * count * grid.channels) * sizeof(float));
  });
  return buffer;
}

void BatchNorm::collect(int count, const Buffer* partials) const {
  with_grid(device_, precision_, layout_, [&](auto, auto, const ChannelGrid& grid) {
    const Index blocks = count * ((grid.channels + sum_channels - 1) / sum_channels);
    launch(device_, blocks, sum_channels * sum_lines, count == 2 ? add_partials<2> : add_partials<3>,
           partials->as<float>(), grid.row_blocks, grid.channels, coefficients_.sums);
  });
}

template <class Kernel, class... Arguments>
void BatchNorm::launch_channels(Kernel kernel, const Arguments&... arguments) const {
  launch(device_, (layout_.channels + grid_threads - 1) / grid_threads, grid_threads, kernel, arguments...);
}

void BatchNorm::share(const RankGroup& ranks, int count) const {
  ranks.sum(coefficients_.sums, count * layout_.channels);
}

void BatchNorm::statistics(CudaProgram& program, Buffer* x) {
  Buffer* sums = partials(program, 2);
  const RankGroup ranks = program.ranks();
  program.add(Section::forward, parameters_.arrays().name + " statistics", {x, sums}, [this, x, sums, ranks] {
    with_grid(device_, precision_, layout_, [&](auto type, auto width, const ChannelGrid& grid) {
      using T = decltype(type);
      launch(device_, grid.blocks(), grid_threads, sum_moments<T, decltype(width)::value>, grid, x->as<T>(),
             sums->as<float>());
      collect(2, sums);
      const T* first = x->as<T>();
      if (ranks.size() > 1) {
        launch_channels(move_moments<T>, coefficients_, std::exchange(first, nullptr), layout_.channels,
                        static_cast<double>(layout_.rows()));
        share(ranks, 2);
      }
      launch_channels(finish_moments<T>, pointers(), coefficients_, first, layout_.channels, values(ranks));
    });
  });
}

void BatchNorm::running_statistics(CudaProgram& program) {
  program.add(Section::prepare, parameters_.arrays().name + " statistics", {}, [this] {
    const NormPointers p = pointers();
    launch_channels(take_running<float>, p, coefficients_, p.running_mean, p.running_variance, layout_.channels);
  });
}

void BatchNorm::relu(CudaProgram& program, Buffer* x, Joined joined, Buffer* output) {
  std::vector<Buffer*> touched{x, output};
  if (joined.activation != nullptr) touched.push_back(joined.activation);
  program.add(Section::forward, parameters_.arrays().name + " relu", touched, [this, x, joined, output] {
    Activation shortcut{nullptr, {}};
    if (joined.activation != nullptr) shortcut.x = joined.activation->data();
    if (joined.norm != nullptr) shortcut.affine = affine(joined.norm->coefficients_);
    with_grid(device_, precision_, layout_, [&](auto type, auto width, const ChannelGrid& grid) {
      using T = decltype(type);
      launch(device_, grid.blocks(), grid_threads, normalize_relu<T, decltype(width)::value>, grid,
             Activation{x->data(), affine(coefficients_)}, shortcut, output->as<T>());
    });
  });
}

void BatchNorm::store(const double* sums, int product, bool adds) const {
  launch_channels(store_gradient<double>, pointers(), coefficients_, sums, product, layout_.channels, adds);
}

void BatchNorm::set_map(const double* sums, int product, const RankGroup& ranks) const {
  launch_channels(set_gradient_map<double>, pointers(), coefficients_, sums, product, layout_.channels, values(ranks));
}

void BatchNorm::backward(CudaProgram& program, Buffer* x, Buffer* grad_output, Buffer* dx) {
  const std::string& name = parameters_.arrays().name;
  Buffer* sums = partials(program, 2);
  const bool adds = parameters_.next_gradient_adds();
  const RankGroup ranks = program.ranks();
  program.add(Section::backward, name + " reduce", {x, grad_output, sums}, [=, this] {
    with_grid(device_, precision_, layout_, [&](auto type, auto width, const ChannelGrid& grid) {
      const Reduction pass{
          .grad = grad_output->data(), .x = x->data(), .mean = coefficients_.mean, .affine = affine(coefficients_)};
      launch(device_, grid.blocks(), grid_threads, reduce_gradient<decltype(type), decltype(width)::value, 2>, grid,
             pass, sums->as<float>());
    });
    collect(2, sums);
    store(coefficients_.sums, 1, adds);
    share(ranks, 2);
    set_map(coefficients_.sums, 1, ranks);
  });
  program.add(Section::backward, name + " apply", {x, grad_output, dx}, [this, x, grad_output, dx] {
    with_grid(device_, precision_, layout_, [&](auto type, auto width, const ChannelGrid& grid) {
      using T = decltype(type);
      launch(device_, grid.blocks(), grid_threads, apply_gradient<T, decltype(width)::value>, grid,
             grad_output->as<T>(), x->as<T>(), gradient_map(coefficients_), affine(coefficients_), dx->as<T>());
    });
  });
}

void BatchNorm::backward_joined(CudaProgram& program, const JoinedBackward& buffers) {
  const std::string& name = parameters_.arrays().name;
  Buffer *const x = buffers.x, *const output = buffers.output, *const dx = buffers.dx;
  Buffer *const grad = buffers.grad_output, *const grad2 = buffers.grad_output2;
  BatchNorm* const norm2 = buffers.joined.norm;
  Buffer* const x2 = norm2 != nullptr ? buffers.joined.activation : x;
  const int count = norm2 != nullptr ? 3 : 2;
  Buffer* sums = partials(program, count);
  const bool adds = parameters_.next_gradient_adds();
  const RankGroup ranks = program.ranks();
  const bool adds2 = norm2 != nullptr && norm2->parameters_.next_gradient_adds();
  program.add(Section::backward, name + " reduce", {x, x2, output, grad, grad2 != nullptr ? grad2 : grad, sums},
              [=, this] {
                with_grid(device_, precision_, layout_, [&](auto type, auto width, const ChannelGrid& grid) {
                  using T = decltype(type);
                  constexpr int packed = decltype(width)::value;
                  Reduction pass{.grad = grad->data(),
                                 .grad2 = grad2 != nullptr ? grad2->data() : nullptr,
                                 .output = output->data(),
                                 .gated = grad->data(),
                                 .x = x->data(),
                                 .mean = coefficients_.mean};
                  if (norm2 != nullptr) {
                    pass.x2 = x2->data();
                    pass.mean2 = norm2->coefficients_.mean;
                  }
                  launch(device_, grid.blocks(), grid_threads,
                         count == 3 ? reduce_gradient<T, packed, 3> : reduce_gradient<T, packed, 2>, grid, pass,
                         sums->as<float>());
                });
                collect(count, sums);
                store(coefficients_.sums, 1, adds);
                if (norm2 != nullptr) norm2->store(coefficients_.sums, 2, adds2);
                share(ranks, count);
                set_map(coefficients_.sums, 1, ranks);
                if (norm2 != nullptr) norm2->set_map(coefficients_.sums, 2, ranks);
              });
  program.add(Section::backward, name + " apply", {x, x2, grad, dx}, [=, this] {
    with_grid(device_, precision_, layout_, [&](auto type, auto width, const ChannelGrid& grid) {
      using T = decltype(type);
      constexpr int packed = decltype(width)::value;
      if (norm2 == nullptr)
        launch(device_, grid.blocks(), grid_threads, apply_gradient<T, packed>, grid, grad->as<T>(), x->as<T>(),
               gradient_map(coefficients_), Affine{}, dx->as<T>());
      else
        launch(device_, grid.blocks(), grid_threads, apply_gradient_twice<T, packed>, grid, grad->as<T>(), x->as<T>(),
               gradient_map(coefficients_), dx->as<T>(), x2->as<T>(), gradient_map(norm2->coefficients_),
               grad->as<T>());
    });
  });
}

}  // namespace swav::resnet::cuda
