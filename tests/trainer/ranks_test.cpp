// Learners that share batches, threads standing in for processes: each equals one that has whole batches. In: tiny
// data. Out: checks of losses and states, step by step.
#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <functional>
#include <mutex>

#include "data/dataset.hpp"
#include "image_files.hpp"
#include "rank_checks.hpp"
#include "rank_threads.hpp"
#include "support.hpp"
#include "swav/core/error.hpp"
#include "swav/core/philox.hpp"
#include "train/learner.hpp"
#include "train/rank_agreement.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

using Change = std::function<void(TrainOptions&)>;

}  // namespace

TEST_CASE("ranks that share batches learn what one learner of whole batches does, with every setting") {
  const ImageSet images = noise();
  const std::vector<std::pair<const char*, Change>> changes{
      {"plain", [](TrainOptions&) {}},
      // Neither length is a multiple of what comes in: the rows that are dropped have to be the same.
      {"queue and workers", [](TrainOptions& o) { o.queue_length = 20, o.workers = 1; }},
      {"batches", [](TrainOptions& o) { o.batch_size = 6, o.accumulate = 2, o.queue_length = 20; }},
      {"no Sinkhorn", [](TrainOptions& o) { o.sinkhorn_iterations = 0, o.batch_size = 6, o.accumulate = 2; }},
      {"all", [](TrainOptions& o) {
         o.batch_size = 6, o.accumulate = 2, o.queue_length = 20, o.momentum_encoder = 0.9, o.heads = {12, 7};
         o.crops_for_assign = {1}, o.hard_codes = true, o.final_epsilon = 0.02, o.larc = true;
       }}};
  for (const auto& [name, change] : changes)
    for (const int size : {2, 3}) {
      TrainOptions o = tiny_options("", "");
      o.precision = "float32";
      o.batch_size = 12;
      o.learning_rate = 0.005;
      change(o);
      constexpr std::size_t steps = 5;
      Learner whole(o, images, Normalization{});
      std::vector<StepMetrics> expected;
      std::vector<Values> states;
      for (std::size_t step = 0; step < steps; ++step) {
        expected.push_back(whole.step());
        states.push_back(values_of(whole));
      }
      std::mutex checks;
      RankThreads(size).run([&](const RankGroup& ranks) {
        omp_set_num_threads(1);
        Learner part(o, images, Normalization{}, ranks);
        for (std::size_t step = 0; step < steps; ++step) {
          const StepMetrics found = part.step();
          const std::lock_guard lock(checks);
          CAPTURE(name);
          CAPTURE(size);
          CAPTURE(step);
          check_metrics(found, expected[step], 1e-5);
          check_state(part, states[step]);
          // Goes on from there: what rounding does to a ReLU at its edge is not to add up.
          auto values = states[step].begin();
          for (StateTensor& tensor : part.state()) std::ranges::copy(*values++, tensor.value.begin());
        }
        const std::lock_guard lock(checks);
        CHECK(part.queue_rows() == whole.queue_rows());
      });
    }
}

TEST_CASE("what ranks cannot share is refused by name, and a rank's unreadable images stop all") {
  const ImageSet images = noise();
  TrainOptions o = tiny_options("", "");
  const auto refused = [&](const char* message) {
    RankThreads(3).run([&](const RankGroup& ranks) {
      CHECK_THROWS_WITH_AS(Learner(o, images, Normalization{}, ranks), message, InvalidInput);
    });
  };
  refused("--batch-size: 16 found with 3 ranks, a multiple of these wanted: each takes an equal share");
  o.batch_size = 12;
  o.objective = "sela-v2";
  refused(
      "--objective: sela-v2 found with 3 ranks, swav wanted: clusters of all images are found by one process alone");
}

TEST_CASE("ranks agree on the largest, tell each other lines of any bytes, and refuse different runs") {
  RankThreads(3).run([](const RankGroup& ranks) {
    CHECK(largest_of_ranks(ranks, ranks.rank() == 1 ? 15 : 0) == 15);
    const std::vector<std::string> own = ranks.rank() == 0   ? std::vector<std::string>{"a 1", "\n\0 2 b"}
                                         : ranks.rank() == 2 ? std::vector<std::string>{"", "c"}
                                                             : std::vector<std::string>{};
    CHECK(of_all_ranks(ranks, own) == std::vector<std::string>{"a 1", "\n\0 2 b", "", "c"});
    CHECK(of_all_ranks(ranks, {}).empty());
    CHECK_NOTHROW(require_one_run(ranks, {.step = 3}));
    CHECK_THROWS_AS(require_one_run(ranks, {.step = ranks.rank() == 2 ? 4 : 3}), InvalidInput);
  });
}
