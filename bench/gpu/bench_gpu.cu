// Times components on CudaDevice. In: a case on the command line, SCALAR being float or bfloat16: "codes ROWS
// PROTOTYPES SCALAR", "loss VIEWS SAMPLES PROTOTYPES DIMENSION SCALAR", "larc SCALAR" (a step over ResNet-50's
// parameters, SCALAR that of the gradients), "crops IMAGES SCALAR" (2x224 + 6x96 of images of 400 x 500 bytes), "knn
// TEST TRAIN DIMENSION float". Out: a line of JSON: milliseconds a call, median and least, and, but for k-NN, the
// memory beyond inputs, with the results and what is kept for the next call (momenta), without cuBLAS's workspace, as
// run_gpu.py has it of PyTorch.
//
// A call of codes, loss or larc is captured once for each of several sets of inputs, which are gone through in turn, so
// that no call finds its own in the cache; a repetition is one round, timed by events, after half a second in which the
// GPU's clock rises. Crops and k-NN are timed by the host, with the wait.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "swav/backend/cuda.cuh"
#include "swav/core/philox.hpp"
#include "swav/crops/recipes.hpp"

namespace {

using swav::CudaDevice;
using swav::CudaMatrix;
using swav::Index;
using swav::MatrixView;
using swav::detail::check_cuda;

constexpr int input_sets = 4, repetitions = 100;
constexpr std::chrono::milliseconds warm_up{500};

/// Rows of unit length, pseudo-random.
template <class T>
CudaMatrix<T> unit_rows(Index rows, Index cols, std::uint64_t seed) {
  std::vector<T> host(static_cast<std::size_t>(rows * cols));
  std::vector<double> row(static_cast<std::size_t>(cols));
  for (Index r = 0; r < rows; ++r) {
    swav::PhiloxStream random(seed, static_cast<std::uint64_t>(r));
    double squares = 0;
    for (double& x : row) {
      x = random.uniform(-1, 1);
      squares += x * x;
    }
    for (Index c = 0; c < cols; ++c)
      host[static_cast<std::size_t>(r * cols + c)] =
          static_cast<T>(static_cast<float>(row[static_cast<std::size_t>(c)] / std::sqrt(squares)));
  }
  return CudaMatrix<T>(MatrixView<const T>(host.data(), rows, cols));
}

std::size_t free_bytes() {
  std::size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

/// Milliseconds a call, sorted, of call(0), call(1), ... in turn, captured.
template <class Call>
std::vector<float> time_captured(const CudaDevice& device, Call call) {
  cudaStream_t stream = device.stream();
  std::vector<cudaGraphExec_t> graphs(input_sets);
  for (int i = 0; i < input_sets; ++i) {
    cudaGraph_t graph = nullptr;
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
    call(i);
    check_cuda(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    check_cuda(cudaGraphInstantiate(&graphs[static_cast<std::size_t>(i)], graph, 0), "cudaGraphInstantiate");
    check_cuda(cudaGraphDestroy(graph), "cudaGraphDestroy");
  }
  cudaEvent_t begin = nullptr, end = nullptr;
  check_cuda(cudaEventCreate(&begin), "cudaEventCreate");
  check_cuda(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<float> times;
  const auto start = std::chrono::steady_clock::now();
  while (times.size() < repetitions) {
    const bool warm = std::chrono::steady_clock::now() - start >= warm_up;
    check_cuda(cudaEventRecord(begin, stream), "cudaEventRecord");
    for (cudaGraphExec_t graph : graphs) check_cuda(cudaGraphLaunch(graph, stream), "cudaGraphLaunch");
    check_cuda(cudaEventRecord(end, stream), "cudaEventRecord");
    check_cuda(cudaEventSynchronize(end), "cudaEventSynchronize");
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    if (warm) times.push_back(milliseconds / input_sets);
  }
  for (cudaGraphExec_t graph : graphs) cudaGraphExecDestroy(graph);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  device.synchronize();
  std::sort(times.begin(), times.end());
  return times;
}

/// The same of calls that are not captured, timed by the host with the wait for each.
template <class Call>
std::vector<float> time_waited(const CudaDevice& device, Call call) {
  std::vector<float> times;
  for (int repetition = -3; repetition < 20; ++repetition) {
    const auto begin = std::chrono::steady_clock::now();
    call(repetition + 3);
    device.synchronize();
    const std::chrono::duration<float, std::milli> taken = std::chrono::steady_clock::now() - begin;
    if (repetition >= 0) times.push_back(taken.count());
  }
  std::sort(times.begin(), times.end());
  return times;
}

void print(const std::string& name, const std::vector<float>& times, std::optional<std::size_t> bytes) {
  std::printf("{\"case\": \"%s\", \"median_ms\": %.5f, \"least_ms\": %.5f", name.c_str(),
              static_cast<double>(times[times.size() / 2]), static_cast<double>(times.front()));
  if (bytes) std::printf(", \"workspace_mib\": %.1f", static_cast<double>(*bytes) / 1048576);
  std::printf("}\n");
}

/// Prints what time(device, call) measures, with `call` = make(device), which allocates results and what calls need.
/// Another such object, destroyed before, has loaded the kernels, whose code takes memory, too.
template <class Make, class Time>
void run(const std::string& name, cudaStream_t stream, const Make& make, const Time& time) {
  const auto called_once = [&](const CudaDevice& device) {
    auto call = make(device);
    call(0);
    device.synchronize();
    return call;
  };
  (void)called_once(CudaDevice(stream));
  const CudaDevice device(stream);
  (void)device.cublas();
  const std::size_t before = free_bytes();
  const auto call = called_once(device);
  const std::size_t used = before - free_bytes();
  print(name, time(device, call), used);
}

constexpr auto captured = [](const CudaDevice& device, const auto& call) { return time_captured(device, call); };
constexpr auto waited = [](const CudaDevice& device, const auto& call) { return time_waited(device, call); };

template <class T>
void bench_codes(const std::string& name, cudaStream_t stream, Index rows, Index prototypes) {
  std::vector<CudaMatrix<T>> scores;
  for (int i = 0; i < input_sets; ++i) {
    scores.emplace_back(rows, prototypes);
    std::vector<T> host(static_cast<std::size_t>(rows * prototypes));
    swav::PhiloxStream random(7, static_cast<std::uint64_t>(i));
    for (T& score : host) score = static_cast<T>(static_cast<float>(random.uniform(-0.5, 0.5)));
    scores.back().copy_from(MatrixView<const T>(host.data(), rows, prototypes));
  }
  const auto make = [&](const CudaDevice& device) {
    const auto codes = std::make_shared<CudaMatrix<T>>(rows, prototypes);
    const auto sinkhorn = std::make_shared<swav::Sinkhorn<T, CudaDevice>>(swav::SinkhornOptions{}, device);
    return [&scores, codes, sinkhorn](int i) { sinkhorn->codes_into(scores[static_cast<std::size_t>(i)], *codes); };
  };
  run(name, stream, make, captured);
}

template <class T>
void bench_loss(const std::string& name, cudaStream_t stream, Index views, Index samples, Index prototypes,
                Index dimension) {
  std::vector<CudaMatrix<T>> z;
  for (int i = 0; i < input_sets; ++i)
    z.push_back(unit_rows<T>(views * samples, dimension, static_cast<std::uint64_t>(i)));
  const swav::PrototypeBank<T, CudaDevice> bank(prototypes, dimension, /*seed=*/1, CudaDevice(stream));
  const auto make = [&](const CudaDevice& device) {
    const auto loss = std::make_shared<swav::SwappedPredictionLoss<T, CudaDevice>>(
        swav::SwappedPredictionOptions{.prototypes = swav::Prototypes::raw}, device);
    const auto step = std::make_shared<swav::SwappedPredictionStep<T, CudaDevice>>();
    step->grad_embeddings = CudaMatrix<T>(views * samples, dimension);
    step->grad_prototypes = CudaMatrix<T>(prototypes, dimension);
    return
        [&z, &bank, views, loss, step](int i) { loss->step_into(z[static_cast<std::size_t>(i)], bank, views, *step); };
  };
  run(name, stream, make, captured);
}

/// Elements of the tensors of ResNet-50 with SwAV's projection head.
std::vector<Index> resnet_sizes() {
  std::vector<Index> sizes;
  const auto add = [&](Index inputs, Index outputs, Index area) {
    sizes.push_back(inputs * outputs * area);
    sizes.push_back(outputs);  // of the norm
    sizes.push_back(outputs);
  };
  add(3, 64, 49);
  Index inputs = 64;
  const Index blocks[] = {3, 4, 6, 3};
  for (int stage = 0; stage < 4; ++stage) {
    const Index width = Index{64} << stage;
    for (Index block = 0; block < blocks[stage]; ++block, inputs = 4 * width) {
      add(inputs, width, 1);
      add(width, width, 9);
      add(width, 4 * width, 1);
      if (block == 0) add(inputs, 4 * width, 1);
    }
  }
  add(2048, 2048, 1);
  sizes.push_back(2048 * 128);
  return sizes;
}

template <class Gradient>
void bench_larc(const std::string& name, cudaStream_t stream) {
  std::vector<CudaMatrix<float>> values;
  std::vector<CudaMatrix<Gradient>> gradients, rounded;
  std::vector<swav::Parameter<float, Gradient>> parameters;
  for (const Index size : resnet_sizes()) {
    std::vector<float> host(static_cast<std::size_t>(size), 0.02f);
    std::vector<Gradient> slope(static_cast<std::size_t>(size), static_cast<Gradient>(1e-4f));
    values.emplace_back(MatrixView<const float>(host.data(), 1, size));
    gradients.emplace_back(MatrixView<const Gradient>(slope.data(), 1, size));
    rounded.emplace_back(1, size);
    parameters.push_back({.value = {values.back().data(), size},
                          .gradient = {gradients.back().data(), size},
                          .name = std::to_string(parameters.size())});
    if constexpr (sizeof(Gradient) == 2) parameters.back().rounded = {rounded.back().data(), size};
  }
  const auto make = [&](const CudaDevice& device) {
    const auto sgd = std::make_shared<swav::Sgd<float, CudaDevice, Gradient>>(
        swav::SgdOptions{.larc = swav::LarcOptions{}}, parameters, device);
    return [sgd](int) { sgd->step(0.1); };
  };
  run(name, stream, make, captured);
}

template <class Out>
void bench_crops(const std::string& name, cudaStream_t stream, Index count) {
  const Index height = 400, width = 500;
  std::vector<unsigned char> pixels(static_cast<std::size_t>(height * width * 3));
  std::vector<CudaMatrix<unsigned char>> images;
  std::vector<swav::ImageView<std::uint8_t>> views;
  for (Index i = 0; i < count; ++i) {
    swav::PhiloxStream random(9, static_cast<std::uint64_t>(i));
    for (unsigned char& pixel : pixels) pixel = static_cast<unsigned char>(random.below(256));
    images.emplace_back(MatrixView<const unsigned char>(pixels.data(), height, width * 3));
    views.push_back({images.back().data(), height, width, 3});
  }
  const auto make = [&](const CudaDevice& device) {
    const auto crops = std::make_shared<swav::BasicMultiCropSampler<CudaDevice>>(swav::swav_crops(), device);
    const auto outputs = std::make_shared<std::vector<CudaMatrix<Out>>>();
    std::vector<Out*> pointers;
    for (Index v = 0; v < crops->views(); ++v) {
      outputs->emplace_back(count, 3 * crops->view(v).size * crops->view(v).size);
      pointers.push_back(outputs->back().data());
    }
    return [&views, crops, outputs, pointers](int epoch) {
      std::vector<swav::CropKey> keys;
      for (std::size_t i = 0; i < views.size(); ++i) keys.push_back({1, static_cast<std::uint64_t>(epoch), i});
      crops->batch(views, keys, pointers);
    };
  };
  run(name, stream, make, waited);
}

void bench_knn(const std::string& name, cudaStream_t stream, Index test, Index train, Index dimension) {
  const CudaDevice device(stream);
  const CudaMatrix<float> train_rows = unit_rows<float>(train, dimension, 1),
                          test_rows = unit_rows<float>(test, dimension, 2);
  std::vector<int> labels;
  for (Index r = 0; r < train; ++r) labels.push_back(static_cast<int>(r % 1000));
  const swav::KnnClassifier<float, CudaDevice> knn({}, device);
  print(name, time_waited(device, [&](int) { (void)knn.predict(train_rows, labels, test_rows); }), {});
}

}  // namespace

int main(int count, char** arguments) {
  try {
    const std::vector<std::string> words(arguments + 1, arguments + count);
    const auto number = [&](std::size_t at) { return static_cast<Index>(std::stoll(words.at(at))); };
    cudaStream_t stream = nullptr;
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    std::string name;
    for (const std::string& word : words) name += (name.empty() ? "" : " ") + word;
    const bool narrow = words.back() == "bfloat16";
    if (words.at(0) == "larc")
      narrow ? bench_larc<__nv_bfloat16>(name, stream) : bench_larc<float>(name, stream);
    else if (words.at(0) == "crops")
      narrow ? bench_crops<__nv_bfloat16>(name, stream, number(1)) : bench_crops<float>(name, stream, number(1));
    else if (words.at(0) == "knn")
      bench_knn(name, stream, number(1), number(2), number(3));
    else if (words.at(0) == "codes")
      narrow ? bench_codes<__nv_bfloat16>(name, stream, number(1), number(2))
             : bench_codes<float>(name, stream, number(1), number(2));
    else
      narrow ? bench_loss<__nv_bfloat16>(name, stream, number(1), number(2), number(3), number(4))
             : bench_loss<float>(name, stream, number(1), number(2), number(3), number(4));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_gpu: %s\n", error.what());
    return 1;
  }
}
