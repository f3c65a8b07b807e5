// SwAV in a network of libtorch's. In: nothing. Out: what autograd makes of the same loss and swav's gradients,
// compared; then a convolutional network trained for some steps. Exits with non-zero when gradients differ or nothing
// is learned.
#include <cmath>
#include <cstdio>

#include "swav_torch.hpp"

namespace {

namespace F = torch::nn::functional;

torch::Tensor codes_by_torch(const torch::Tensor& scores, double epsilon, int iterations) {
  torch::Tensor q = torch::softmax(scores.flatten() / epsilon, 0).view_as(scores);
  for (int i = 0; i < iterations; ++i) {
    q = q / (q.sum(0, true) * q.size(1));
    q = q / (q.sum(1, true) * q.size(0));
  }
  return q * q.size(0);
}

torch::Tensor loss_by_torch(const torch::Tensor& embeddings, const torch::Tensor& prototypes, int views) {
  const std::vector<torch::Tensor> scores =
      F::normalize(embeddings, F::NormalizeFuncOptions().dim(1)).matmul(prototypes.t()).chunk(views);
  torch::Tensor loss = torch::zeros({}, embeddings.options());
  for (int assigned : {0, 1}) {
    const torch::Tensor q = codes_by_torch(scores[static_cast<std::size_t>(assigned)].detach(), 0.05, 3);
    for (int v = 0; v < views; ++v)
      if (v != assigned)
        loss = loss - (q * torch::log_softmax(scores[static_cast<std::size_t>(v)] / 0.1, 1)).sum(1).mean();
  }
  return loss / (2 * (views - 1));
}

double difference(const torch::Tensor& found, const torch::Tensor& wanted) {
  return ((found - wanted).abs().max() / wanted.abs().max()).item<double>();
}

bool same_as_autograd() {
  constexpr int views = 4;
  const auto options = torch::dtype(torch::kFloat64);
  // Every second row of a larger tensor: rows that are apart are used in place, too.
  torch::Tensor z =
      torch::randn({views * 24 * 2, 16}, options).slice(0, 0, torch::nullopt, 2).detach().requires_grad_();
  const swav_torch::Prototypes<double> prototypes(30, 16, 1);
  const torch::Tensor& c = prototypes.parameter();
  const swav_torch::SwappedPredictionLoss<double> loss{{.temperature = 0.1, .crops_for_assign = {0, 1}}};

  const torch::Tensor ours = loss(z, prototypes, views) * 3.0;  // whatever follows the loss is autograd's
  ours.backward();
  const torch::Tensor grad_z = z.grad().clone(), grad_c = c.grad().clone();
  z.mutable_grad().reset();
  c.mutable_grad().reset();
  const torch::Tensor theirs = loss_by_torch(z, c, views) * 3.0;
  theirs.backward();

  const torch::Tensor scores = torch::randn({64, 30}, options) * 0.3;
  const torch::Tensor codes = swav_torch::Sinkhorn<double>{{.epsilon = 0.05, .max_iterations = 3}}.codes(scores);
  const double worst[] = {std::abs((ours / theirs).item<double>() - 1), difference(grad_z, z.grad()),
                          difference(grad_c, c.grad()), difference(codes, codes_by_torch(scores, 0.05, 3))};
  std::printf("relative to autograd: loss %.1e, gradients %.1e and %.1e, codes %.1e\n", worst[0], worst[1], worst[2],
              worst[3]);
  const bool in_place = swav_torch::view<const double>(z, "z").data == z.data_ptr<double>() &&
                        prototypes.bank()->weights().data == c.data_ptr<double>();
  for (const double deviation : worst)
    if (!(deviation < 1e-12)) return false;
  return in_place;
}

struct Network : torch::nn::Module {
  torch::nn::Sequential layers{torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 16, 3).stride(2).padding(1)),
                               torch::nn::BatchNorm2d(16),
                               torch::nn::ReLU(),
                               torch::nn::Conv2d(torch::nn::Conv2dOptions(16, 32, 3).stride(2).padding(1)),
                               torch::nn::BatchNorm2d(32),
                               torch::nn::ReLU(),
                               torch::nn::AdaptiveAvgPool2d(2),
                               torch::nn::Flatten(),
                               torch::nn::Linear(128, 32)};
  swav_torch::Prototypes<float> prototypes{12, 32, /*seed=*/1};

  Network() {
    register_module("layers", layers);
    register_parameter("prototypes", prototypes.parameter());
  }
};

// Eight patterns, each image one of them with noise; two views are two noises.
torch::Tensor batch_of_views(const torch::Tensor& patterns, std::int64_t samples) {
  const torch::Tensor images = patterns.index({torch::randint(0, patterns.size(0), {samples})});
  return torch::cat({images, images}) + 0.7 * torch::randn({2 * samples, 1, 16, 16});
}

bool learns() {
  Network network;
  torch::optim::SGD optimizer(network.parameters(), torch::optim::SGDOptions(0.03).momentum(0.9));
  const swav_torch::SwappedPredictionLoss<float> loss;
  const torch::Tensor patterns = torch::randn({8, 1, 16, 16});
  float first = 0, last = 0;
  for (int step = 0; step < 60; ++step) {
    network.prototypes.bank()->normalize();  // what the optimiser did, in the same memory
    const torch::Tensor value = loss(network.layers->forward(batch_of_views(patterns, 64)), network.prototypes, 2);
    optimizer.zero_grad();
    value.backward();
    optimizer.step();
    last = value.item<float>();
    if (step == 0) first = last;
    if (step % 20 == 0 || step == 59)
      std::printf("step %2d: loss %.3f of ln K = %.3f\n", step, static_cast<double>(last), std::log(12.0));
  }
  return last < 0.4f * first;
}

}  // namespace

int main() {
  torch::manual_seed(1);
  if (!same_as_autograd()) {
    std::fprintf(stderr, "gradients are not autograd's\n");
    return 1;
  }
  if (!learns()) {
    std::fprintf(stderr, "the loss did not fall\n");
    return 1;
  }
  return 0;
}
