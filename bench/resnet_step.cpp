// Times a training step of the bundled network (forward, backward, SGD with momentum) on random images. In: requests
// (line_protocol.hpp) for quickstart_network (forward and backward alone), resnet18, resnet50. Out: seconds. With
// arguments "profile CASE [--float]": the parts of one step and their times.
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "line_protocol.hpp"
#include "model/network.hpp"
#include "swav/core/philox.hpp"

namespace {

using namespace swav;
using namespace swav::resnet;

struct Setting {
  Architecture architecture;
  std::vector<ImageGroup> groups;
  bool update;  ///< whether an SGD step belongs to the timed step
};

std::map<std::string, Setting> settings() {
  return {
      {"quickstart_network",
       {{.depth = 10, .width = 16, .channels = 1, .head_hidden = 256, .embedding = 128},
        {{256, 24}, {256, 18}},
        false}},
      {"resnet18", {{.depth = 18, .width = 64, .channels = 3, .head = false}, {{128, 32}}, true}},
      {"resnet50", {{.depth = 50, .width = 64, .small_stem = false, .channels = 3, .head = false}, {{16, 224}}, true}},
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

class Step {
 public:
  Step(const Setting& setting, Precision precision)
      : update_(setting.update), network_(setting.architecture, setting.groups, precision, 1) {
    for (std::size_t g = 0; g < setting.groups.size(); ++g) fill(network_.input(g), g);
    for (const NamedTensor& t : network_.tensors()) velocities_.emplace_back(t.gradient.size(), 0.0f);
    grad_.resize(static_cast<std::size_t>(network_.rows() * network_.embedding_dimension()));
  }

  void run() {
    const MatrixView<const float> z = network_.forward();
    for (std::size_t i = 0; i < grad_.size(); ++i) grad_[i] = 2.0f * z.data[i] / static_cast<float>(grad_.size());
    network_.backward({grad_.data(), z.rows, z.cols});
    if (update_) update(network_.tensors(), velocities_, 1e-3f);
  }

  void print_profile() {
    network_.set_profiling(true);
    for (int step = 0; step < 10; ++step) run();
    std::printf("%s\n", network_.describe().c_str());
    for (const Program::StepTime& part : network_.step_times())
      std::printf("%9.1f us  %s\n", part.seconds * 1e6, part.name.c_str());
  }

 private:
  bool update_;
  Network network_;
  std::vector<std::vector<float>> velocities_;
  std::vector<float> grad_;
};

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty()) {
    const auto known = settings();
    const auto chosen = arguments.size() >= 2 ? known.find(arguments[1]) : known.end();
    if (arguments[0] != "profile" || chosen == known.end()) {
      std::fprintf(stderr, "usage: bench_resnet_step [profile quickstart_network|resnet18|resnet50 [--float]]\n");
      return 1;
    }
    const bool single = arguments.size() > 2 && arguments[2] == "--float";
    Step(chosen->second, single ? Precision::float32 : Precision::bfloat16).print_profile();
    return 0;
  }
  std::map<std::string, bench::Case> cases;
  for (const auto& [name, setting] : settings())
    cases[name] = [setting = setting] {
      const auto step = std::make_shared<Step>(setting, Precision::bfloat16);
      return [step] { step->run(); };
    };
  return bench::serve(cases);
}
