// Kernels and steps of pooling. In: buffers. Out: steps.
#include "engine/cuda/pooling.cuh"

#include <cstdint>

#include "engine/cuda/channel_grid.cuh"

namespace swav::resnet::cuda {
namespace {

using swav::detail::launch;

constexpr Index kernel = 3, stride = 2, padding = 1;

/// The rows of `output`; the first of equals is the largest, as in PyTorch.
template <class T, int Width>
__global__ void __launch_bounds__(grid_threads)
    pool_windows(ChannelGrid grid, CudaLayout input, CudaLayout output, const T* x, T* y, std::uint8_t* places) {
  const ChannelPlace place = channel_place<Width>(grid);
  if (!place.has_channels) return;
  for (Index r = place.first_row; r < grid.rows; r += place.row_step) {
    const Index image = r / output.pixels(), pixel = r % output.pixels();
    const Index top = pixel / output.size * stride - padding, left = pixel % output.size * stride - padding;
    float best[Width], values[Width];
    std::uint8_t found[Width] = {};
    bool any = false;
    for (Index i = 0; i < kernel; ++i)
      for (Index j = 0; j < kernel; ++j) {
        const Index row = top + i, column = left + j;
        if (row < 0 || row >= input.size || column < 0 || column >= input.size) continue;
        load_pack(x + ((image * input.size + row) * input.size + column) * grid.channels + place.channel, values);
        for (int w = 0; w < Width; ++w)
          if (!any || values[w] > best[w]) {
            best[w] = values[w];
            found[w] = static_cast<std::uint8_t>(i * kernel + j);
          }
        any = true;
      }
    const Index at = r * grid.channels + place.channel;
    store_pack(best, y + at);
    for (int w = 0; w < Width; ++w) places[at + w] = found[w];
  }
}

/// The rows of `input`: each adds up the gradients of the windows in which it was the largest.
template <class T, int Width>
__global__ void __launch_bounds__(grid_threads) spread_windows(ChannelGrid grid, CudaLayout input, CudaLayout output,
                                                               const T* dy, const std::uint8_t* places, T* dx) {
  const ChannelPlace place = channel_place<Width>(grid);
  if (!place.has_channels) return;
  for (Index r = place.first_row; r < grid.rows; r += place.row_step) {
    const Index image = r / input.pixels(), pixel = r % input.pixels();
    const Index row = pixel / input.size, column = pixel % input.size;
    float sums[Width] = {}, values[Width];
    for (Index i = 0; i < kernel; ++i)
      for (Index j = 0; j < kernel; ++j) {
        const Index down = row + padding - i, right = column + padding - j;
        if (down < 0 || right < 0 || down % stride != 0 || right % stride != 0) continue;
        if (down / stride >= output.size || right / stride >= output.size) continue;
        const Index window = (image * output.size + down / stride) * output.size + right / stride;
        const Index at = window * grid.channels + place.channel;
        load_pack(dy + at, values);
        for (int w = 0; w < Width; ++w)
          if (places[at + w] == i * kernel + j) sums[w] += values[w];
      }
    store_pack(sums, dx + r * grid.channels + place.channel);
  }
}

/// features(image, c) = the mean over the pixels; the grid's rows are the images.
template <class T, int Width>
__global__ void __launch_bounds__(grid_threads)
    average_pixels(ChannelGrid grid, Index pixels, const T* x, float* features) {
  const ChannelPlace place = channel_place<Width>(grid);
  if (!place.has_channels) return;
  for (Index image = place.first_row; image < grid.rows; image += place.row_step) {
    float sums[Width] = {}, values[Width];
#pragma unroll 4
    for (Index p = 0; p < pixels; ++p) {
      load_pack(x + (image * pixels + p) * grid.channels + place.channel, values);
      for (int w = 0; w < Width; ++w) sums[w] += values[w];
    }
    for (int w = 0; w < Width; ++w)
      features[image * grid.channels + place.channel + w] = sums[w] / static_cast<float>(pixels);
  }
}

template <class T, int Width>
__global__ void __launch_bounds__(grid_threads)
    spread_gradient(ChannelGrid grid, Index pixels, const float* gradient, T* dx) {
  const ChannelPlace place = channel_place<Width>(grid);
  if (!place.has_channels) return;
  for (Index r = place.first_row; r < grid.rows; r += place.row_step) {
    float values[Width];
    for (int w = 0; w < Width; ++w)
      values[w] = gradient[r / pixels * grid.channels + place.channel + w] / static_cast<float>(pixels);
    store_pack(values, dx + r * grid.channels + place.channel);
  }
}

template <class T, int Width>
__global__ void __launch_bounds__(grid_threads) add_rows(ChannelGrid grid, T* a, const T* b) {
  const ChannelPlace place = channel_place<Width>(grid);
  if (!place.has_channels) return;
  for (Index r = place.first_row; r < grid.rows; r += place.row_step) {
    const Index at = r * grid.channels + place.channel;
    float sums[Width], values[Width];
    load_pack(a + at, sums);
    load_pack(b + at, values);
    for (int w = 0; w < Width; ++w) sums[w] += values[w];
    store_pack(sums, a + at);
  }
}

}  // namespace

MaxPooling::MaxPooling(CudaLayout input, Precision precision) : input_(input), output_(input), precision_(precision) {
  output_.size = (input.size + 2 * padding - kernel) / stride + 1;
}

void MaxPooling::forward(CudaProgram& program, Buffer* input, Buffer* output) {
  places_ = program.buffer(static_cast<std::size_t>(output_.rows() * output_.channels));
  program.add(Section::forward, "maxpool forward", {input, output, places_},
              [*this, device = program.device(), input, output] {
                with_storage(precision_, input_.channels, [&](auto type, auto width) {
                  using T = decltype(type);
                  constexpr int packed = decltype(width)::value;
                  const ChannelGrid grid = channel_grid(device, output_.rows(), output_.channels, packed);
                  launch(device, grid.blocks(), grid_threads, pool_windows<T, packed>, grid, input_, output_,
                         input->as<T>(), output->as<T>(), places_->as<std::uint8_t>());
                });
              });
}

void MaxPooling::backward(CudaProgram& program, Buffer* grad_output, Buffer* grad_input) {
  program.add(Section::backward, "maxpool backward", {grad_output, grad_input, places_},
              [*this, device = program.device(), grad_output, grad_input] {
                with_storage(precision_, input_.channels, [&](auto type, auto width) {
                  using T = decltype(type);
                  constexpr int packed = decltype(width)::value;
                  const ChannelGrid grid = channel_grid(device, input_.rows(), input_.channels, packed);
                  launch(device, grid.blocks(), grid_threads, spread_windows<T, packed>, grid, input_, output_,
                         grad_output->as<T>(), places_->as<std::uint8_t>(), grad_input->as<T>());
                });
              });
}

void GlobalPooling::forward(CudaProgram& program, Buffer* input, Buffer* features, Index first_row) const {
  program.add(Section::forward, "pooling", {input, features}, [*this, input, features, first_row] {
    with_storage(precision_, input_.channels, [&](auto type, auto width) {
      using T = decltype(type);
      constexpr int packed = decltype(width)::value;
      const ChannelGrid grid = channel_grid(device_, input_.images, input_.channels, packed);
      launch(device_, grid.blocks(), grid_threads, average_pixels<T, packed>, grid, input_.pixels(), input->as<T>(),
             features->as<float>() + first_row * input_.channels);
    });
  });
}

void GlobalPooling::backward(CudaProgram& program, Buffer* grad_features, Index first_row, Buffer* grad_input) const {
  program.add(Section::backward, "pooling", {grad_features, grad_input}, [*this, grad_features, first_row, grad_input] {
    with_storage(precision_, input_.channels, [&](auto type, auto width) {
      using T = decltype(type);
      constexpr int packed = decltype(width)::value;
      const ChannelGrid grid = channel_grid(device_, input_.rows(), input_.channels, packed);
      launch(device_, grid.blocks(), grid_threads, spread_gradient<T, packed>, grid, input_.pixels(),
             grad_features->as<float>() + first_row * input_.channels, grad_input->as<T>());
    });
  });
}

void GlobalPooling::add_gradients(CudaProgram& program, Buffer* a, Buffer* b) const {
  program.add(Section::backward, "sum of gradients", {a, b}, [*this, a, b] {
    with_storage(precision_, input_.channels, [&](auto type, auto width) {
      using T = decltype(type);
      constexpr int packed = decltype(width)::value;
      const ChannelGrid grid = channel_grid(device_, input_.rows(), input_.channels, packed);
      launch(device_, grid.blocks(), grid_threads, add_rows<T, packed>, grid, a->as<T>(), b->as<T>());
    });
  });
}

}  // namespace swav::resnet::cuda
