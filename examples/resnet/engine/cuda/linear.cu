// Fully connected layers by cuBLAS, with its full float products. In: shapes and buffers. Out: steps.
#include "engine/cuda/linear.cuh"

#include "engine/cuda/channel_grid.cuh"
#include "swav/backend/cuda/product.cuh"

namespace swav::resnet::cuda {
namespace {

using swav::detail::launch;
using swav::detail::multiply;

template <class T>
__global__ void __launch_bounds__(grid_threads) add_bias(MatrixView<T> rows, const T* bias) {
  const Index at = static_cast<Index>(blockIdx.x) * grid_threads + threadIdx.x;
  if (at < rows.size()) rows.data[at] += bias[at % rows.cols];
}

constexpr int sum_columns = 32;

/// sums_c = the sum of column c, in an order of its own: a block takes 32 columns.
template <class T>
__global__ void __launch_bounds__(grid_threads) sum_rows(MatrixView<const T> rows, T* sums) {
  constexpr int count = grid_threads / sum_columns;
  __shared__ T lines[count][sum_columns];
  const int lane = static_cast<int>(threadIdx.x) % sum_columns, line = static_cast<int>(threadIdx.x) / sum_columns;
  const Index column = static_cast<Index>(blockIdx.x) * sum_columns + lane;
  T sum = 0;
  if (column < rows.cols)
    for (Index r = line; r < rows.rows; r += count) sum += rows(r, column);
  lines[line][lane] = sum;
  __syncthreads();
  if (line != 0 || column >= rows.cols) return;
  for (int other = 1; other < count; ++other) sum += lines[other][lane];
  sums[column] = sum;
}

}  // namespace

void Linear::forward(CudaProgram& program, Buffer* input, Buffer* output) {
  program.add(Section::forward, name_ + " forward", {input, output}, [*this, device = program.device(), input, output] {
    const MatrixView<const float> x(input->as<float>(), rows_, in_);
    const MatrixView<float> y(output->as<float>(), rows_, out_);
    multiply<float>(device, 1.0f, x, false, weight(), true, 0.0f, y);
    launch(device, (y.size() + grid_threads - 1) / grid_threads, grid_threads, add_bias<float>, y, arrays_.bias.data());
  });
}

void Linear::backward_weights(CudaProgram& program, Buffer* input, Buffer* grad_output) {
  program.add(Section::backward, name_ + " backward weights", {input, grad_output},
              [*this, device = program.device(), input, grad_output] {
                const MatrixView<const float> x(input->as<float>(), rows_, in_);
                const MatrixView<const float> dy(grad_output->as<float>(), rows_, out_);
                const MatrixView<float> gradient(arrays_.grad_weight.data(), out_, in_);
                multiply<float>(device, 1.0f, dy, true, x, false, 0.0f, gradient);
                launch(device, (out_ + sum_columns - 1) / sum_columns, grid_threads, sum_rows<float>, dy,
                       arrays_.grad_bias.data());
              });
}

void Linear::backward_data(CudaProgram& program, Buffer* grad_output, Buffer* grad_input) {
  program.add(Section::backward, name_ + " backward data", {grad_output, grad_input},
              [*this, device = program.device(), grad_output, grad_input] {
                const MatrixView<const float> dy(grad_output->as<float>(), rows_, out_);
                const MatrixView<float> dx(grad_input->as<float>(), rows_, in_);
                multiply<float>(device, 1.0f, dy, false, weight(), false, 0.0f, dx);
              });
}

}  // namespace swav::resnet::cuda
