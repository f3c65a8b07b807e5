// Every component on CudaDevice for every scalar, to be compiled, not run.
#include "swav/backend/cuda.cuh"

namespace {

using swav::CudaDevice;
using swav::MatrixView;

template <class T>
void use_all(const CudaDevice& device, MatrixView<const T> z, MatrixView<T> out) {
  swav::PrototypeBank<T, CudaDevice> bank({30, 40}, z.cols, /*seed=*/1, device);
  bank.normalize();
  swav::SwappedPredictionLoss<T, CudaDevice> loss({}, device);
  swav::EmbeddingQueue<T, CudaDevice> queue(2, z.cols, {}, device);
  swav::SwappedPredictionStep<T, CudaDevice> step = loss(z, bank, 2, {.queue = &queue});
  swav::ViewCodes<T, CudaDevice> codes;
  loss.codes_into(z, bank, z.rows / 2, codes, &queue);
  step.value = loss.value(z, bank, 2);
  swav::Sinkhorn<T, CudaDevice> sinkhorn({}, device);
  sinkhorn.codes_into(z, out);
}

}  // namespace

void use_every_component(const CudaDevice& device, MatrixView<const float> f, MatrixView<float> to_f,
                         MatrixView<const double> d, MatrixView<double> to_d, MatrixView<const __half> h,
                         MatrixView<__half> to_h, MatrixView<const __nv_bfloat16> b, MatrixView<__nv_bfloat16> to_b) {
  use_all(device, f, to_f);
  use_all(device, d, to_d);
  use_all(device, h, to_h);
  use_all(device, b, to_b);
  swav::Sinkhorn<float, CudaDevice> solver({}, device);
  swav::Sinkhorn<float, CudaDevice>::Result result;
  solver.solve_into(f, {}, {}, result);
}
