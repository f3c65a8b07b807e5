// Batches ahead: their order and content, memory, and the ends: early, by an exception, behind something slow.
#include "data/prefetcher.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "allocations.hpp"

using namespace swav::resnet;
using namespace swav::test;

namespace {

constexpr std::size_t items = 7;

// Slots that hold what the items of their batch wrote.
struct Slots {
  std::vector<std::vector<std::ptrdiff_t>> values;
  explicit Slots(std::size_t slots) : values(slots, std::vector<std::ptrdiff_t>(items, -1)) {}
  void write(const PrefetchItem& item) {
    values[item.slot][static_cast<std::size_t>(item.item)] = 100 * item.batch + item.item;
  }
};

void sleep_for(int microseconds) { std::this_thread::sleep_for(std::chrono::microseconds(microseconds)); }

}  // namespace

TEST_CASE("batches come in order, whole, from any number of workers, and stay until they are given back") {
  for (const int workers : {1, 2, 5}) {
    for (const std::ptrdiff_t count : {1, 2, 3}) {
      Slots slots(static_cast<std::size_t>(count));
      std::atomic<int> most_worker = 0;
      Prefetcher prefetcher({.workers = workers, .slots = count, .items = items, .first = 4},
                            [&](const PrefetchItem& item) {
                              if (static_cast<int>(item.worker) > most_worker)
                                most_worker = static_cast<int>(item.worker);
                              // Later items are often done sooner.
                              sleep_for(static_cast<int>(item.item * 37 % 5) * 20);
                              slots.write(item);
                            });
      for (std::ptrdiff_t batch = 4; batch < 24; ++batch) {
        CHECK(prefetcher.next() == batch);
        const std::size_t slot = prefetcher.take();
        if (batch % 5 == 0) sleep_for(300);
        std::vector<std::ptrdiff_t> expected;
        for (std::size_t i = 0; i < items; ++i) expected.push_back(100 * batch + static_cast<std::ptrdiff_t>(i));
        CHECK(slots.values[slot] == expected);
        prefetcher.release();
      }
      CHECK(most_worker < workers);
    }
  }
}

TEST_CASE("no more batches are begun than there are slots") {
  std::atomic<std::ptrdiff_t> newest = -1;
  Prefetcher prefetcher({.workers = 3, .slots = 2, .items = items}, [&](const PrefetchItem& item) {
    if (item.batch > newest) newest = item.batch;
  });
  const auto settles_at = [&](std::ptrdiff_t batch) {
    while (newest < batch) sleep_for(100);
    sleep_for(5000);
    return newest == batch;
  };
  CHECK(settles_at(1));
  (void)prefetcher.take();
  CHECK(settles_at(1));
  prefetcher.release();
  CHECK(settles_at(2));
}

TEST_CASE("nothing is allocated for a batch") {
  Slots slots(2);
  Prefetcher prefetcher({.workers = 3, .slots = 2, .items = items},
                        [&](const PrefetchItem& item) { slots.write(item); });
  const auto pass = [&] {
    (void)prefetcher.take();
    prefetcher.release();
  };
  pass();
  const long before = allocations();
  for (int i = 0; i < 50; ++i) pass();
  CHECK(allocations() == before);
}

TEST_CASE("it ends early while items are prepared, while workers wait for room, and before anything was taken") {
  for (const int wait : {0, 100, 5000}) {
    std::atomic<int> begun = 0, done = 0;
    {
      Prefetcher prefetcher({.workers = 4, .slots = 2, .items = items}, [&](const PrefetchItem&) {
        ++begun;
        sleep_for(200);
        ++done;
      });
      if (wait == 5000) {
        (void)prefetcher.take();
        prefetcher.release();
      }
      sleep_for(wait);
    }
    CHECK(begun == done);
    CHECK(begun <= 3 * static_cast<int>(items));
  }
}

TEST_CASE("an exception comes with its batch: those before are given, none after") {
  for (const int workers : {1, 4}) {
    Slots slots(3);
    Prefetcher prefetcher({.workers = workers, .slots = 3, .items = items}, [&](const PrefetchItem& item) {
      if (item.batch == 5 && item.item == 3) throw std::runtime_error("item 3");
      sleep_for(50);
      slots.write(item);
    });
    for (std::ptrdiff_t batch = 0; batch < 5; ++batch) {
      CHECK(slots.values[prefetcher.take()][items - 1] == 100 * batch + static_cast<std::ptrdiff_t>(items) - 1);
      prefetcher.release();
    }
    CHECK_THROWS_WITH_AS((void)prefetcher.take(), "item 3", std::runtime_error);
    CHECK_THROWS_AS((void)prefetcher.take(), std::runtime_error);
  }
}

TEST_CASE("a slow source delays its batch and none before") {
  std::atomic<bool> is_open = false;
  Prefetcher prefetcher({.workers = 2, .slots = 2, .items = items}, [&](const PrefetchItem& item) {
    while (item.batch == 1 && !is_open) sleep_for(100);
  });
  (void)prefetcher.take();
  prefetcher.release();
  is_open = true;
  (void)prefetcher.take();
  prefetcher.release();
}

TEST_CASE("ending waits for the items that are begun, and begins no other") {
  constexpr int many = 100000;
  std::atomic<int> begun = 0;
  {
    Prefetcher prefetcher({.workers = 2, .slots = 2, .items = many}, [&](const PrefetchItem&) {
      ++begun;
      sleep_for(1000);
    });
    while (begun == 0) sleep_for(100);
  }
  CHECK(begun < many);
}
