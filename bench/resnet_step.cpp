// Times a training step of the bundled network (forward, backward, SGD with momentum) on random images. In: a case's
// name, the number of steps. Out: one line "case milliseconds", the least of the steps; with --profile the steps' parts
// too. bench/peers/resnet_step.py runs it in turn with the same step in PyTorch.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "model/network.hpp"
#include "swav/core/philox.hpp"

namespace {

using namespace swav;
using namespace swav::resnet;

struct Case {
  std::string name;
  Architecture architecture;
  std::vector<ImageGroup> groups;
  bool update;  ///< whether an SGD step belongs to the timed step
};

std::vector<Case> cases() {
  return {
      {"quickstart",
       {.depth = 10, .width = 16, .channels = 1, .head_hidden = 256, .embedding = 128},
       {{256, 28}, {256, 20}},
       false},
      {"resnet18", {.depth = 18, .width = 64, .channels = 3, .head = false}, {{128, 32}}, true},
      {"resnet50", {.depth = 50, .width = 64, .small_stem = false, .channels = 3, .head = false}, {{16, 224}}, true},
  };
}

void fill(std::span<float> values, std::uint64_t stream) {
  PhiloxStream random(1, stream);
  for (float& v : values) v = static_cast<float>(random.uniform(-1.7, 1.7));
}

/// SGD with momentum 0.9 on every parameter.
void update(std::vector<NamedTensor>& tensors, std::vector<std::vector<float>>& velocities, float rate) {
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    float* value = tensors[t].value.data();
    float* velocity = velocities[t].data();
    const float* gradient = tensors[t].gradient.data();
    const std::ptrdiff_t size = std::ssize(tensors[t].gradient);
#pragma omp parallel for simd schedule(static)
    for (std::ptrdiff_t i = 0; i < size; ++i) {
      velocity[i] = 0.9f * velocity[i] + gradient[i];
      value[i] -= rate * velocity[i];
    }
  }
}

int run(const Case& chosen, Precision precision, int steps, bool profile) {
  Network network(chosen.architecture, chosen.groups, precision, 1);
  for (std::size_t g = 0; g < chosen.groups.size(); ++g) fill(network.input(g), g);
  std::vector<std::vector<float>> velocities;
  for (const NamedTensor& t : network.tensors()) velocities.emplace_back(t.gradient.size(), 0.0f);
  std::vector<float> grad(static_cast<std::size_t>(network.rows() * network.embedding_dimension()));
  network.set_profiling(profile);
  double least = 1e9;
  for (int step = 0; step <= steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    const MatrixView<const float> z = network.forward();
    for (std::size_t i = 0; i < grad.size(); ++i) grad[i] = 2.0f * z.data[i] / static_cast<float>(grad.size());
    network.backward({grad.data(), z.rows, z.cols});
    if (chosen.update) update(network.tensors(), velocities, 1e-3f);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (step > 0) least = std::min(least, taken.count());  // the first one warms up
  }
  std::printf("%s %.2f\n", chosen.name.c_str(), least * 1e3);
  if (profile) {
    std::printf("%s\n", network.describe().c_str());
    for (const Program::StepTime& part : network.step_times())
      std::printf("%9.1f us  %s\n", part.seconds * 1e6, part.name.c_str());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string name = "quickstart";
  int steps = 10;
  bool profile = false;
  Precision precision = Precision::bfloat16;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--profile") == 0)
      profile = true;
    else if (std::strcmp(argv[i], "--float") == 0)
      precision = Precision::float32;
    else if (std::atoi(argv[i]) > 0)
      steps = std::atoi(argv[i]);
    else
      name = argv[i];
  }
  for (const Case& known : cases())
    if (known.name == name) return run(known, precision, steps, profile);
  std::fprintf(stderr, "usage: resnet_step [quickstart|resnet18|resnet50] [steps] [--float] [--profile]\n");
  return 1;
}
