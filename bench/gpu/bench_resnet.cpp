// Times a training step of a network on a GPU: images from pinned memory, forward, backward from a fixed gradient,
// LARC's update left out. In: bench_resnet IMAGES DEPTH float|bfloat16 heuristics|timing [profile]: so many images of
// 2 x 224 + 6 x 96 crops; how cuDNN's algorithms are chosen, "timing" being --tune. Out: JSON: median and least
// milliseconds, images a second, in MiB the arena of activations and all memory that is reserved, CUDA's libraries and
// their kernels' code included; with "profile" the steps' times.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/cuda/device.cuh"
#include "model/network.hpp"
#include "swav/core/philox.hpp"

using namespace swav;
using namespace swav::resnet;

namespace {

double free_mib() {
  std::size_t free = 0, total = 0;
  swav::detail::check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<double>(free) / (1 << 20);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 5) {
    std::fprintf(stderr, "usage: bench_resnet IMAGES DEPTH float|bfloat16 heuristics|timing [profile]\n");
    return 2;
  }
  const Index images = std::atol(arguments[1]);
  const Precision precision = std::string(arguments[3]) == "float" ? Precision::float32 : Precision::bfloat16;
  constexpr int warm_up = 10, repetitions = 30;
  try {
    cuda::set_algorithm_choice(std::string(arguments[4]) == "timing" ? cuda::AlgorithmChoice::timing
                                                                     : cuda::AlgorithmChoice::heuristics);
    const double free_before = free_mib();
    Network network({.depth = std::atoi(arguments[2]), .width = 64, .small_stem = false},
                    {{2 * images, 224}, {6 * images, 96}}, precision, 1, Gradients::computed, {}, Processor::cuda);
    for (std::size_t g = 0; g < network.groups(); ++g) {
      PhiloxStream random(1, g);
      for (float& value : network.input(g)) value = static_cast<float>(random.uniform(-1.7, 1.7));
    }
    const CudaDevice& device = cuda::trainer_device();
    CudaMatrix<float> gradient(network.rows(), network.embedding_dimension());
    std::vector<float> host(static_cast<std::size_t>(gradient.size()), 1e-3f);
    gradient.copy_from(MatrixView<const float>(host.data(), gradient.rows(), gradient.cols()));
    network.set_profiling(count > 5);
    std::vector<double> times;
    for (int repetition = 0; repetition < warm_up + repetitions; ++repetition) {
      const auto start = std::chrono::steady_clock::now();
      network.forward();
      network.backward(gradient);
      device.synchronize();
      const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
      if (repetition >= warm_up) times.push_back(taken.count());
    }
    std::ranges::sort(times);
    const double median = times[times.size() / 2];
    if (count > 5)
      for (const Program::StepTime& step : network.step_times())
        std::fprintf(stderr, "%9.3f ms  %s\n", step.seconds * 1e3, step.name.c_str());
    std::printf(
        "{\"median_ms\": %.4f, \"least_ms\": %.4f, \"images_per_s\": %.1f, \"arena_mib\": %.0f, "
        "\"reserved_mib\": %.0f}\n",
        median, times[0], static_cast<double>(images) / median * 1e3,
        static_cast<double>(network.activation_bytes()) / (1 << 20), free_before - free_mib());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
