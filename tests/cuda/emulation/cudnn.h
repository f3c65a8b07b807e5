// cuDNN on the CPU: convolutions of NHWC tensors by plain loops, in the order that the trainer calls them. In, out:
// what cuDNN's own take and give; sums are in double, stored in the tensor's type. Anything the trainer does not ask
// for is refused: another layout, a mode, a descriptor that was not set, a workspace that is too small.
#pragma once

#include <vector>

#include "cuda_bf16.h"
#include "cuda_runtime.h"

enum cudnnStatus_t {
  CUDNN_STATUS_SUCCESS = 0,
  CUDNN_STATUS_NOT_INITIALIZED = 1001,
  CUDNN_STATUS_BAD_PARAM = 2000,
  CUDNN_STATUS_NOT_SUPPORTED = 3000
};
enum cudnnDataType_t { CUDNN_DATA_FLOAT = 0, CUDNN_DATA_BFLOAT16 = 9 };
enum cudnnTensorFormat_t { CUDNN_TENSOR_NCHW = 0, CUDNN_TENSOR_NHWC = 1 };
enum cudnnConvolutionMode_t { CUDNN_CONVOLUTION = 0, CUDNN_CROSS_CORRELATION = 1 };
enum cudnnMathType_t { CUDNN_DEFAULT_MATH = 0, CUDNN_TENSOR_OP_MATH = 1, CUDNN_FMA_MATH = 3 };
enum cudnnDeterminism_t { CUDNN_NON_DETERMINISTIC = 0, CUDNN_DETERMINISTIC = 1 };

namespace swav::emulation {
struct Dnn {
  cudaStream_t stream = nullptr;
};
struct DnnTensor {
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  long images = 0, channels = 0, height = 0, width = 0;  // of filters: outputs, inputs
  [[nodiscard]] long at(long n, long y, long x, long c) const { return ((n * height + y) * width + x) * channels + c; }
  [[nodiscard]] long count() const { return images * height * width * channels; }
};
struct DnnConvolution {
  long padding = 0, stride = 0;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};
struct DnnSuggestion {
  int algo;
  cudnnStatus_t status;
  float time;
  std::size_t memory;
  cudnnDeterminism_t determinism;
  cudnnMathType_t mathType;
};
inline constexpr std::size_t dnn_workspace = 1000;
inline constexpr int dnn_algorithm = 1;
inline int dnn_timings = 0;  // for tests

inline double read(const void* data, cudnnDataType_t type, long at) {
  return type == CUDNN_DATA_FLOAT ? static_cast<const float*>(data)[at]
                                  : static_cast<float>(static_cast<const __nv_bfloat16*>(data)[at]);
}
inline void write(void* data, cudnnDataType_t type, const std::vector<double>& values) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (type == CUDNN_DATA_FLOAT)
      static_cast<float*>(data)[i] = static_cast<float>(values[i]);
    else
      static_cast<__nv_bfloat16*>(data)[i] = __nv_bfloat16(static_cast<float>(values[i]));
}
inline std::vector<double> read_all(const void* data, const DnnTensor& tensor) {
  std::vector<double> values(static_cast<std::size_t>(tensor.count()));
  for (long i = 0; i < tensor.count(); ++i) values[static_cast<std::size_t>(i)] = read(data, tensor.type, i);
  return values;
}
/// visit(of x, of w, of y, channels) for each pixel of y and each of the filters' that meets x.
template <class Visit>
void each_product(const DnnTensor& x, const DnnTensor& w, const DnnTensor& y, const DnnConvolution& c, Visit visit) {
  for (long n = 0; n < y.images; ++n)
    for (long i = 0; i < y.height; ++i)
      for (long j = 0; j < y.width; ++j)
        for (long r = 0; r < w.height; ++r)
          for (long s = 0; s < w.width; ++s) {
            const long down = i * c.stride + r - c.padding, right = j * c.stride + s - c.padding;
            if (down < 0 || down >= x.height || right < 0 || right >= x.width) continue;
            for (long k = 0; k < w.images; ++k)
              visit(static_cast<std::size_t>(x.at(n, down, right, 0)), static_cast<std::size_t>(w.at(k, r, s, 0)),
                    static_cast<std::size_t>(y.at(n, i, j, k)), static_cast<std::size_t>(w.channels));
          }
}
inline cudnnStatus_t check_shapes(const DnnTensor& x, const DnnTensor& w, const DnnTensor& y, const DnnConvolution& c) {
  const auto pixels = [&](long from, long kernel) { return (from + 2 * c.padding - kernel) / c.stride + 1; };
  const bool fits = c.stride > 0 && x.count() > 0 && x.images == y.images && x.channels == w.channels &&
                    y.channels == w.images && y.height == pixels(x.height, w.height) &&
                    y.width == pixels(x.width, w.width) && x.type == w.type && x.type == y.type;
  return fits ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}
/// One that is fast and gives other bits each time, one that does not run, and the one that there is.
inline cudnnStatus_t suggest(int wanted, int* count, DnnSuggestion* suggestions, const DnnConvolution& c) {
  if (wanted < 3) return CUDNN_STATUS_BAD_PARAM;
  *count = 3;
  suggestions[0] = {0, CUDNN_STATUS_SUCCESS, -1, 0, CUDNN_NON_DETERMINISTIC, c.math};
  suggestions[1] = {2, CUDNN_STATUS_NOT_SUPPORTED, -1, 0, CUDNN_DETERMINISTIC, c.math};
  suggestions[2] = {dnn_algorithm, CUDNN_STATUS_SUCCESS, -1, dnn_workspace, CUDNN_DETERMINISTIC, c.math};
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t workspace_size(int algorithm, std::size_t* bytes) {
  *bytes = algorithm == dnn_algorithm ? dnn_workspace : 0;
  return algorithm == dnn_algorithm ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
}
/// Enqueues body, before which the workspace is overwritten: what else lies there is lost.
template <class Body>
cudnnStatus_t compute(Dnn* handle, int algorithm, void* workspace, std::size_t bytes, const void* alpha,
                      const void* beta, cudnnStatus_t shapes, Body body) {
  if (shapes != CUDNN_STATUS_SUCCESS) return shapes;
  if (algorithm != dnn_algorithm || *static_cast<const float*>(alpha) != 1 || *static_cast<const float*>(beta) != 0)
    return CUDNN_STATUS_NOT_SUPPORTED;
  if (bytes < dnn_workspace || workspace == nullptr) return CUDNN_STATUS_BAD_PARAM;
  submit(handle->stream, [=] {
    std::memset(workspace, 0xFF, bytes);
    body();
  });
  return CUDNN_STATUS_SUCCESS;
}
}  // namespace swav::emulation

using cudnnHandle_t = swav::emulation::Dnn*;
using cudnnTensorDescriptor_t = swav::emulation::DnnTensor*;
struct EmulatedFilters : swav::emulation::DnnTensor {};
using cudnnFilterDescriptor_t = EmulatedFilters*;
using cudnnConvolutionDescriptor_t = swav::emulation::DnnConvolution*;
using cudnnConvolutionFwdAlgoPerf_t = swav::emulation::DnnSuggestion;
using cudnnConvolutionBwdDataAlgoPerf_t = swav::emulation::DnnSuggestion;
using cudnnConvolutionBwdFilterAlgoPerf_t = swav::emulation::DnnSuggestion;

inline const char* cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_SUCCESS ? "CUDNN_STATUS_SUCCESS" : "the cuDNN call failed";
}
inline cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  if (swav::emulation::devices == 0) return CUDNN_STATUS_NOT_INITIALIZED;
  *handle = new swav::emulation::Dnn;
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

#define SWAV_EMULATE_DESCRIPTOR(Name)                                   \
  inline cudnnStatus_t cudnnCreate##Name(cudnn##Name##_t* descriptor) { \
    *descriptor = new std::remove_pointer_t<cudnn##Name##_t>;           \
    return CUDNN_STATUS_SUCCESS;                                        \
  }                                                                     \
  inline cudnnStatus_t cudnnDestroy##Name(cudnn##Name##_t descriptor) { \
    delete descriptor;                                                  \
    return CUDNN_STATUS_SUCCESS;                                        \
  }
SWAV_EMULATE_DESCRIPTOR(TensorDescriptor)
SWAV_EMULATE_DESCRIPTOR(FilterDescriptor)
SWAV_EMULATE_DESCRIPTOR(ConvolutionDescriptor)
#undef SWAV_EMULATE_DESCRIPTOR

inline cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format,
                                                cudnnDataType_t type, int n, int c, int h, int w) {
  if (format != CUDNN_TENSOR_NHWC) return CUDNN_STATUS_NOT_SUPPORTED;
  *tensor = {type, n, c, h, w};
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filters, cudnnDataType_t type,
                                                cudnnTensorFormat_t format, int k, int c, int h, int w) {
  return cudnnSetTensor4dDescriptor(filters, format, type, k, c, h, w);
}
inline cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t convolution, int padding, int across,
                                                     int stride, int along, int dilation, int dilation_along,
                                                     cudnnConvolutionMode_t mode, cudnnDataType_t compute) {
  if (padding != across || stride != along || dilation != 1 || dilation_along != 1) return CUDNN_STATUS_NOT_SUPPORTED;
  if (mode != CUDNN_CROSS_CORRELATION || compute != CUDNN_DATA_FLOAT) return CUDNN_STATUS_NOT_SUPPORTED;
  *convolution = {padding, stride, CUDNN_DEFAULT_MATH};
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t convolution, cudnnMathType_t math) {
  convolution->math = math;
  return CUDNN_STATUS_SUCCESS;
}

#define SWAV_EMULATE_CHOICE(Direction, First, Second, Third)                                                  \
  inline cudnnStatus_t cudnnGetConvolution##Direction##AlgorithmMaxCount(cudnnHandle_t, int* count) {         \
    *count = 3;                                                                                               \
    return CUDNN_STATUS_SUCCESS;                                                                              \
  }                                                                                                           \
  inline cudnnStatus_t cudnnGetConvolution##Direction##Algorithm_v7(                                          \
      cudnnHandle_t, First, Second, cudnnConvolutionDescriptor_t convolution, Third, int wanted, int* count,  \
      swav::emulation::DnnSuggestion* suggestions) {                                                          \
    return swav::emulation::suggest(wanted, count, suggestions, *convolution);                                \
  }                                                                                                           \
  inline cudnnStatus_t cudnnFindConvolution##Direction##Algorithm(                                            \
      cudnnHandle_t, First, Second, cudnnConvolutionDescriptor_t convolution, Third, int wanted, int* count,  \
      swav::emulation::DnnSuggestion* suggestions) {                                                          \
    ++swav::emulation::dnn_timings;                                                                           \
    return swav::emulation::suggest(wanted, count, suggestions, *convolution);                                \
  }                                                                                                           \
  inline cudnnStatus_t cudnnGetConvolution##Direction##WorkspaceSize(                                         \
      cudnnHandle_t, First, Second, cudnnConvolutionDescriptor_t, Third, int algorithm, std::size_t* bytes) { \
    return swav::emulation::workspace_size(algorithm, bytes);                                                 \
  }
SWAV_EMULATE_CHOICE(Forward, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t, cudnnTensorDescriptor_t)
SWAV_EMULATE_CHOICE(BackwardFilter, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t)
SWAV_EMULATE_CHOICE(BackwardData, cudnnFilterDescriptor_t, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t)
#undef SWAV_EMULATE_CHOICE

inline cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t of_x,
                                             const void* x, cudnnFilterDescriptor_t of_w, const void* w,
                                             cudnnConvolutionDescriptor_t convolution, int algorithm, void* workspace,
                                             std::size_t bytes, const void* beta, cudnnTensorDescriptor_t of_y,
                                             void* y) {
  using namespace swav::emulation;
  return compute(handle, algorithm, workspace, bytes, alpha, beta, check_shapes(*of_x, *of_w, *of_y, *convolution),
                 [=] {
                   const std::vector<double> in = read_all(x, *of_x), filters = read_all(w, *of_w);
                   std::vector<double> out(static_cast<std::size_t>(of_y->count()));
                   each_product(*of_x, *of_w, *of_y, *convolution, [&](auto a, auto b, auto c, auto channels) {
                     double sum = 0;
                     for (std::size_t i = 0; i < channels; ++i) sum += in[a + i] * filters[b + i];
                     out[c] += sum;
                   });
                   write(y, of_y->type, out);
                 });
}
inline cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha,
                                                    cudnnTensorDescriptor_t of_x, const void* x,
                                                    cudnnTensorDescriptor_t of_y, const void* dy,
                                                    cudnnConvolutionDescriptor_t convolution, int algorithm,
                                                    void* workspace, std::size_t bytes, const void* beta,
                                                    cudnnFilterDescriptor_t of_w, void* dw) {
  using namespace swav::emulation;
  return compute(handle, algorithm, workspace, bytes, alpha, beta, check_shapes(*of_x, *of_w, *of_y, *convolution),
                 [=] {
                   const std::vector<double> in = read_all(x, *of_x), gradient = read_all(dy, *of_y);
                   std::vector<double> out(static_cast<std::size_t>(of_w->count()));
                   each_product(*of_x, *of_w, *of_y, *convolution, [&](auto a, auto b, auto c, auto channels) {
                     for (std::size_t i = 0; i < channels; ++i) out[b + i] += in[a + i] * gradient[c];
                   });
                   write(dw, of_w->type, out);
                 });
}
inline cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha, cudnnFilterDescriptor_t of_w,
                                                  const void* w, cudnnTensorDescriptor_t of_y, const void* dy,
                                                  cudnnConvolutionDescriptor_t convolution, int algorithm,
                                                  void* workspace, std::size_t bytes, const void* beta,
                                                  cudnnTensorDescriptor_t of_x, void* dx) {
  using namespace swav::emulation;
  return compute(handle, algorithm, workspace, bytes, alpha, beta, check_shapes(*of_x, *of_w, *of_y, *convolution),
                 [=] {
                   const std::vector<double> filters = read_all(w, *of_w), gradient = read_all(dy, *of_y);
                   std::vector<double> out(static_cast<std::size_t>(of_x->count()));
                   each_product(*of_x, *of_w, *of_y, *convolution, [&](auto a, auto b, auto c, auto channels) {
                     for (std::size_t i = 0; i < channels; ++i) out[a + i] += filters[b + i] * gradient[c];
                   });
                   write(dx, of_x->type, out);
                 });
}
