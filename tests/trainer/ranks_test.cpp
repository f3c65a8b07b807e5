// Learners that share batches, threads standing in for processes: each equals one that has whole batches. In: tiny
// data. Out: checks of losses and states, step by step.
#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <mutex>

#include "data/dataset.hpp"
#include "image_files.hpp"
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

ImageSet noise() {
  ImageSet images(28, 28, 1);
  images.pixels.resize(96 * 28 * 28);
  PhiloxStream random(3, 0);
  for (std::uint8_t& pixel : images.pixels) pixel = static_cast<std::uint8_t>(random.below(256));
  return images;
}

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
      CAPTURE(name);
      CAPTURE(size);
      TrainOptions o = tiny_options("", "");
      o.precision = "float32";
      o.batch_size = 12;
      o.learning_rate = 0.05;  // steps stay small, and so does what rounding grows to
      change(o);
      constexpr int steps = 5;
      Learner whole(o, images, Normalization{});
      std::vector<StepMetrics> expected;
      for (int step = 0; step < steps; ++step) expected.push_back(whole.step());
      std::mutex checks;
      RankThreads(size).run([&](const RankGroup& ranks) {
        omp_set_num_threads(1);
        Learner part(o, images, Normalization{}, ranks);
        std::vector<StepMetrics> found;
        for (int step = 0; step < steps; ++step) found.push_back(part.step());
        const std::lock_guard lock(checks);
        for (std::size_t step = 0; step < steps; ++step) {
          CAPTURE(step);
          CHECK(found[step].loss == doctest::Approx(expected[step].loss).epsilon(1e-5));
          CHECK(found[step].code_entropy == doctest::Approx(expected[step].code_entropy).epsilon(1e-4));
          CHECK(found[step].prototypes_used == expected[step].prototypes_used);
          CHECK(found[step].feature_spread == doctest::Approx(expected[step].feature_spread).epsilon(1e-4));
        }
        CHECK(part.queue_rows() == whole.queue_rows());
        const std::vector<StateTensor> mine = part.state(), all = whole.state();
        REQUIRE(mine.size() == all.size());
        for (std::size_t t = 0; t < all.size(); ++t) {
          CAPTURE(all[t].name);
          double difference = 0;
          for (std::size_t i = 0; i < all[t].value.size(); ++i)
            difference = std::max(difference, std::abs(double(mine[t].value[i]) - double(all[t].value[i])));
          CHECK(difference <= 1e-4);
        }
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
