// Whole training runs against PyTorch's: queue, momentum encoder, several heads, hard codes, and a batch learned from
// in parts under common codes. In: tests/golden/trajectories.bin. Out: checks of the loss at each of 20 steps and of
// the weights they lead to.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "golden.hpp"
#include "problems.hpp"
#include "swav/loss/swapped_prediction.hpp"
#include "swav/optim/sgd.hpp"
#include "swav/prototypes/queue.hpp"

namespace {

using namespace swav;
using namespace swav::test;

const std::vector<std::string> names{"first", "bias", "second"};

/// Linear-ReLU-Linear.
template <class Scalar>
struct Mlp {
  explicit Mlp(const GoldenArrays& golden) {
    for (std::size_t i = 0; i < 3; ++i) {
      weights[i] = converted<Scalar>(golden.at("start." + names[i]));
      gradients[i] = RowMatrix<Scalar>::Zero(weights[i].rows(), weights[i].cols());
    }
  }
  RowMatrix<Scalar> forward(const RowMatrix<Scalar>& rows) {
    x = rows;
    hidden = ((x * weights[0].transpose()).rowwise() + weights[1].row(0)).cwiseMax(Scalar(0));
    return hidden * weights[2].transpose();
  }
  /// Adds to the gradients.
  void backward(const RowMatrix<Scalar>& grad) {
    gradients[2] += grad.transpose() * hidden;
    const RowMatrix<Scalar> grad_hidden =
        (grad * weights[2]).array() * (hidden.array() > Scalar(0)).template cast<Scalar>();
    gradients[0] += grad_hidden.transpose() * x;
    gradients[1] += grad_hidden.colwise().sum();
  }
  std::array<RowMatrix<Scalar>, 3> weights, gradients;
  RowMatrix<Scalar> x, hidden;
};

struct Setup {
  Index batch = 4;
  Index queue = 0;
  bool average = false;
  std::vector<Index> heads = {12};
  bool hard = false;
};

template <class Scalar>
class Run {
 public:
  Run(const GoldenArrays& golden, const Setup& setup)
      : golden_(golden),
        setup_(setup),
        network_(golden),
        average_(golden),
        bank_(converted<Scalar>(golden.at("start.prototypes")), setup.heads),
        average_bank_(converted<Scalar>(golden.at("start.prototypes")), setup.heads),
        loss_({.temperature = setting(2), .sinkhorn = {.epsilon = setting(3), .hard_codes = setup.hard}}),
        grad_c_(bank_.weights().rows, bank_.weights().cols) {
    if (setup.queue > 0) queue_.emplace(2, bank_.dimension(), EmbeddingQueueOptions{.length = setup.queue});
    std::vector<Parameter<Scalar>> parameters;
    for (std::size_t i = 0; i < 3; ++i)
      parameters.push_back({.value = {network_.weights[i].data(), network_.weights[i].size()},
                            .gradient = {network_.gradients[i].data(), network_.gradients[i].size()},
                            .name = names[i]});
    parameters.push_back({.value = {bank_.weights().data, bank_.weights().size()},
                          .gradient = {grad_c_.data(), grad_c_.size()},
                          .name = "prototypes"});
    optimizer_.emplace(SgdOptions{.momentum = setting(5), .weight_decay = 0}, std::move(parameters));
  }

  double step(Index step) {
    bank_.normalize();
    average_bank_.normalize();
    for (RowMatrix<Scalar>& gradient : network_.gradients) gradient.setZero();
    grad_c_.setZero();
    const double value = setup_.batch > part_ ? learn_in_parts(step) : learn(step);
    optimizer_->step(setting(4));
    const auto keep = static_cast<Scalar>(setting(6));
    for (std::size_t i = 0; i < 3; ++i)
      average_.weights[i] = keep * average_.weights[i] + (1 - keep) * network_.weights[i];
    detail::MatrixMap<Scalar> slow = detail::as_eigen(average_bank_.weights());
    slow = (keep * slow + (1 - keep) * detail::as_eigen(bank_.weights())).eval();
    return value;
  }

  [[nodiscard]] double weight_error(const std::string& name) const {
    double error =
        largest_difference(RowMatrix<Scalar>(detail::as_eigen(bank_.weights())), golden_.at(name + ".prototypes"));
    for (std::size_t i = 0; i < 3; ++i)
      error = std::max(error, largest_difference(network_.weights[i], golden_.at(name + "." + names[i])));
    return error;
  }

 private:
  [[nodiscard]] double setting(Index i) const { return golden_.at("settings")(0, i); }

  /// Samples first to first + count of each of the first `views` views.
  RowMatrix<Scalar> rows(Index step, Index first, Index count, Index views) const {
    const RowMatrix<double>& all = golden_.at("inputs." + std::to_string(step));
    const Index stored = all.rows() / views_;
    RowMatrix<Scalar> some(views * count, all.cols());
    for (Index v = 0; v < views; ++v)
      some.middleRows(v * count, count) = all.middleRows(v * stored + first, count).template cast<Scalar>();
    return some;
  }

  double learn(Index step) {
    CodeSource<Scalar> source;
    RowMatrix<Scalar> slow;
    if (setup_.average) {
      slow = average_.forward(rows(step, 0, setup_.batch, 2));
      source.embeddings = slow;
      source.bank = &average_bank_;
    }
    if (queue_) source.queue = &*queue_;
    const auto learned = loss_(network_.forward(rows(step, 0, setup_.batch, views_)), bank_, views_, source);
    network_.backward(learned.grad_embeddings);
    grad_c_ = learned.grad_prototypes;
    return learned.value;
  }

  // All embeddings that codes are of first, then their codes together, then a part at a time.
  double learn_in_parts(Index step) {
    Mlp<Scalar>& source = setup_.average ? average_ : network_;
    ViewCodes<Scalar> codes;
    loss_.codes_into(source.forward(rows(step, 0, setup_.batch, 2)), setup_.average ? average_bank_ : bank_,
                     setup_.batch, codes, queue_ ? &*queue_ : nullptr);
    const Index parts = setup_.batch / part_;
    double value = 0;
    for (Index p = 0; p < parts; ++p) {
      const auto learned = loss_(network_.forward(rows(step, p * part_, part_, views_)), bank_, views_,
                                 {.codes = &codes, .first_sample = p * part_});
      const auto share = Scalar(1) / static_cast<Scalar>(parts);
      network_.backward(share * learned.grad_embeddings);
      grad_c_ += share * learned.grad_prototypes;
      value += learned.value / static_cast<double>(parts);
    }
    return value;
  }

  const GoldenArrays& golden_;
  Setup setup_;
  Index views_ = static_cast<Index>(setting(0)), part_ = static_cast<Index>(setting(1));
  Mlp<Scalar> network_, average_;
  PrototypeBank<Scalar> bank_, average_bank_;
  SwappedPredictionLoss<Scalar> loss_;
  RowMatrix<Scalar> grad_c_;
  std::optional<EmbeddingQueue<Scalar>> queue_;
  std::optional<Sgd<Scalar>> optimizer_;
};

template <class Scalar>
void check_run(const GoldenArrays& golden, const std::string& name, const Setup& setup, double bound) {
  CAPTURE(name);
  const RowMatrix<double>& wanted = golden.at(name);
  REQUIRE(wanted.size() == 20);
  Run<Scalar> run(golden, setup);
  for (Index step = 0; step < wanted.size(); ++step) {
    CAPTURE(step);
    CHECK(std::abs(run.step(step) - wanted(0, step)) <= bound);
  }
  CHECK(run.weight_error(name) <= bound);
}

template <class Scalar>
void check_runs(double bound) {
  const GoldenArrays golden = load_golden("trajectories.bin");
  check_run<Scalar>(golden, "plain", {}, bound);
  check_run<Scalar>(golden, "queue", {.queue = 8}, bound);
  check_run<Scalar>(golden, "accumulated", {.batch = 12}, bound);
  check_run<Scalar>(golden, "momentum", {.queue = 8, .average = true}, bound);
  check_run<Scalar>(golden, "heads", {.heads = {7, 5}}, bound);
  check_run<Scalar>(golden, "together", {.batch = 12, .queue = 24, .average = true, .heads = {7, 5}}, bound);
}

}  // namespace

TEST_CASE("20 steps with queue, momentum encoder, heads and accumulation equal PyTorch's in double") {
  check_runs<double>(1e-11);
  check_run<double>(load_golden("trajectories.bin"), "hard", {.hard = true}, 1e-11);
}

TEST_CASE("and stay near them in float") { check_runs<float>(1e-4); }

TEST_CASE("without its queue, its average, its heads or its common codes a run is another one") {
  const GoldenArrays golden = load_golden("trajectories.bin");
  for (const std::string name : {"queue", "accumulated", "momentum", "heads", "hard"})
    CHECK(largest_difference(golden.at(name), golden.at("plain")) > 1e-3);
}
