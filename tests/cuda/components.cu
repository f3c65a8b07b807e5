// Every component on CudaDevice for every scalar, to be compiled, not run.
#include <vector>

#include "swav/backend/cuda.cuh"
#if __has_include(<nccl.h>)
#include "swav/comm/nccl.cuh"
#endif

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

template <class T>
void use_transports(const CudaDevice& device, MatrixView<const T> x, MatrixView<const T> cost) {
  swav::Sinkhorn<T, CudaDevice> sinkhorn({}, device);
  const auto result = sinkhorn.solve(cost);
  (void)result.plan();
  (void)result.apply(x);
  (void)swav::gradient_a(result);
  (void)swav::gradient_b(result);
  (void)swav::plan_gradients(result, cost);
  const swav::PointCost<T> points(x, x);
  const auto divergence = swav::sinkhorn_divergence(points, {}, {}, {}, device);
  (void)swav::gradient_x(divergence);
  (void)swav::gradient_y(divergence);
  (void)swav::points_gradient(points, cost, device);
  (void)divergence.xy.map(x);
  swav::SinkhornBatch<T, CudaDevice> batch({}, device);
  (void)batch.solve(cost, cost.cols).plans();
}

#if __has_include(<nccl.h>)
void share(const CudaDevice& device, MatrixView<const float> scores, MatrixView<float> out) {
  const swav::NcclCommunicator group = swav::NcclCommunicator::from_environment(device);
  swav::Sinkhorn<float, CudaDevice, swav::NcclCommunicator> sinkhorn({}, device, group);
  sinkhorn.codes_into(scores, out);
  (void)sinkhorn.solve(scores).plan();
  swav::PrototypeBank<float, CudaDevice> bank(30, scores.cols, /*seed=*/1, device);
  swav::SwappedPredictionLoss<float, CudaDevice, swav::NcclCommunicator> loss({}, device, group);
  swav::EmbeddingQueue<float, CudaDevice> queue(2, scores.cols, {}, device);
  (void)loss(scores, bank, 2, {.queue = &queue});
}
#endif

template <class T, class Gradient>
void optimize(const CudaDevice& device, MatrixView<const Gradient> gradient, MatrixView<T> value) {
  const std::vector<swav::Parameter<T, Gradient>> parameters{
      {.value = {value.data, value.cols}, .gradient = {gradient.data, gradient.cols}, .name = "w"}};
  swav::Sgd<T, CudaDevice, Gradient> sgd({.larc = swav::LarcOptions{}}, parameters, device);
  sgd.step(0.1);
  swav::AdamW<T, CudaDevice, Gradient> adamw({}, parameters, device);
  adamw.step(0.1);
}

template <class T, class Out>
void render(const CudaDevice& device, const swav::ImageView<T>& image, Out* out) {
  const swav::BasicMultiCropSampler<CudaDevice> crops({swav::CropSpec{.count = 1}}, device);
  const std::vector<Out*> outputs{out};
  crops(image, {}, outputs);
  swav::render_crop<CudaDevice>(image, crops.plan({}, image.height, image.width, 0), {}, out, device);
}

template <class T>
void evaluate(const CudaDevice& device, MatrixView<const T> x, swav::VectorView<const int> labels) {
  (void)swav::KnnClassifier<T, CudaDevice>({}, device).accuracy(x, labels, x, labels);
  swav::LinearProbe<T, CudaDevice> probe({}, device);
  (void)probe.accuracy(x, labels, x, labels);
  (void)swav::feature_spread(x, device);
  (void)swav::assign_prototypes(x, x, device);
}

}  // namespace

void use_every_component(const CudaDevice& device, MatrixView<const float> f, MatrixView<float> to_f,
                         MatrixView<const double> d, MatrixView<double> to_d, MatrixView<const __half> h,
                         MatrixView<__half> to_h, MatrixView<const __nv_bfloat16> b, MatrixView<__nv_bfloat16> to_b) {
  use_all(device, f, to_f);
  use_all(device, d, to_d);
  use_all(device, h, to_h);
  use_all(device, b, to_b);
#if __has_include(<nccl.h>)
  share(device, f, to_f);
#endif
  optimize(device, f, to_f);
  optimize(device, d, to_d);
  optimize(device, h, to_h);
  optimize(device, b, to_f);
  render(device, swav::ImageView<unsigned char>{}, to_f.data);
  render(device, swav::ImageView<unsigned char>{}, to_b.data);
  render(device, swav::ImageView<float>{}, to_h.data);
  evaluate(device, f, {});
  use_transports(device, f, f);
#ifdef SWAV_EVERY_SCALAR
  use_transports(device, h, h);
#endif
}
