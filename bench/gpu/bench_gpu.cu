// Times codes and the loss on CudaDevice. In: cases on the command line, "codes ROWS PROTOTYPES SCALAR" and "loss VIEWS
// SAMPLES PROTOTYPES DIMENSION SCALAR", SCALAR being float or bfloat16. Out: a line of JSON: milliseconds a call,
// median and least, and the memory beyond inputs and results.
//
// A call is captured once for each of several sets of inputs, which are gone through in turn, so that no call finds its
// own in the cache; a repetition is one round, timed by events.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "swav/backend/cuda.cuh"
#include "swav/core/philox.hpp"

namespace {

using swav::CudaDevice;
using swav::CudaMatrix;
using swav::Index;
using swav::MatrixView;
using swav::detail::check_cuda;

constexpr int input_sets = 4, warm_up = 10, repetitions = 100;

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

/// Milliseconds a call, sorted, of call(0), call(1), ... in turn.
template <class Call>
std::vector<float> time_calls(cudaStream_t stream, Call call) {
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
  for (int repetition = -warm_up; repetition < repetitions; ++repetition) {
    check_cuda(cudaEventRecord(begin, stream), "cudaEventRecord");
    for (cudaGraphExec_t graph : graphs) check_cuda(cudaGraphLaunch(graph, stream), "cudaGraphLaunch");
    check_cuda(cudaEventRecord(end, stream), "cudaEventRecord");
    check_cuda(cudaEventSynchronize(end), "cudaEventSynchronize");
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    if (repetition >= 0) times.push_back(milliseconds / input_sets);
  }
  for (cudaGraphExec_t graph : graphs) cudaGraphExecDestroy(graph);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(times.begin(), times.end());
  return times;
}

void print(const std::string& name, const std::vector<float>& times, std::size_t bytes) {
  std::printf("{\"case\": \"%s\", \"median_ms\": %.5f, \"least_ms\": %.5f, \"workspace_mib\": %.1f}\n", name.c_str(),
              static_cast<double>(times[times.size() / 2]), static_cast<double>(times.front()),
              static_cast<double>(bytes) / 1048576);
}

template <class T>
void bench_codes(const std::string& name, cudaStream_t stream, Index rows, Index prototypes) {
  const CudaDevice device(stream);
  std::vector<CudaMatrix<T>> scores;
  for (int i = 0; i < input_sets; ++i) {
    scores.emplace_back(rows, prototypes);
    std::vector<T> host(static_cast<std::size_t>(rows * prototypes));
    swav::PhiloxStream random(7, static_cast<std::uint64_t>(i));
    for (T& score : host) score = static_cast<T>(static_cast<float>(random.uniform(-0.5, 0.5)));
    scores.back().copy_from(MatrixView<const T>(host.data(), rows, prototypes));
  }
  CudaMatrix<T> codes(rows, prototypes);
  swav::Sinkhorn<T, CudaDevice> sinkhorn({}, device);
  const std::size_t before = free_bytes();
  sinkhorn.codes_into(scores[0], codes);
  device.synchronize();
  const std::size_t used = before - free_bytes();
  print(name, time_calls(stream, [&](int i) { sinkhorn.codes_into(scores[static_cast<std::size_t>(i)], codes); }),
        used);
  device.synchronize();
}

template <class T>
void bench_loss(const std::string& name, cudaStream_t stream, Index views, Index samples, Index prototypes,
                Index dimension) {
  const CudaDevice device(stream);
  std::vector<CudaMatrix<T>> z;
  for (int i = 0; i < input_sets; ++i)
    z.push_back(unit_rows<T>(views * samples, dimension, static_cast<std::uint64_t>(i)));
  const swav::PrototypeBank<T, CudaDevice> bank(prototypes, dimension, /*seed=*/1, device);
  swav::SwappedPredictionLoss<T, CudaDevice> loss({.prototypes = swav::Prototypes::raw}, device);
  swav::SwappedPredictionStep<T, CudaDevice> step;
  step.grad_embeddings = CudaMatrix<T>(views * samples, dimension);
  step.grad_prototypes = CudaMatrix<T>(prototypes, dimension);
  const std::size_t before = free_bytes();
  loss.step_into(z[0], bank, views, step);
  device.synchronize();
  const std::size_t used = before - free_bytes();
  print(name, time_calls(stream, [&](int i) { loss.step_into(z[static_cast<std::size_t>(i)], bank, views, step); }),
        used);
  device.synchronize();
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
    if (words.at(0) == "codes")
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
