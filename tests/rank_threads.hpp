// Threads of one process that stand in for the processes of a training run. In: a number, what each is to do. Out: all
// done, or the first exception of the lowest rank.
#pragma once

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/rank_group.hpp"

namespace swav::test {

/// How ranks read and write what they reduce: where that is a GPU's, tests put a copy here that reaches it.
inline void (*copy_memory)(void* to, const void* from, std::size_t bytes) =
    [](void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); };

/// Sums are made in the order of the ranks by every thread for itself: the same bits.
class RankThreads {
 public:
  explicit RankThreads(int size) : size_(size), barrier_(size), data_(static_cast<std::size_t>(size)) {}

  /// Calls body(group) in a thread for each rank. A rank that throws leaves: the others must not wait for it, so all
  /// have to throw at the same place.
  template <class Body>
  void run(const Body& body) {
    std::vector<std::exception_ptr> failures(data_.size());
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size_; ++rank)
      threads.emplace_back([&, rank] {
        try {
          body(resnet::RankGroup(std::make_shared<Link>(*this, rank)));
        } catch (...) {
          failures[static_cast<std::size_t>(rank)] = std::current_exception();
        }
      });
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& failure : failures)
      if (failure) std::rethrow_exception(failure);
  }

 private:
  class Link final : public resnet::RankLink {
    // read(entries) of what all have brought, while it stands still.
    template <class Read>
    auto exchange(const void* own, const Read& read) {
      all_.data_[static_cast<std::size_t>(rank_)] = own;
      wait();
      auto result = read(all_.data_);
      wait();
      return result;
    }

   public:
    Link(RankThreads& all, int rank) : all_(all), rank_(rank) {}
    [[nodiscard]] int rank() const override { return rank_; }
    [[nodiscard]] int size() const override { return all_.size_; }
    [[nodiscard]] int rank_on_machine() const override { return rank_; }
    void sum(float* data, Index count) override {
      reduce(data, count, [](float a, float b) { return a + b; });
    }
    void sum(double* data, Index count) override {
      reduce(data, count, [](double a, double b) { return a + b; });
    }
    void maximum(float* data, Index count) override {
      reduce(data, count, [](float a, float b) { return std::max(a, b); });
    }
    void maximum(double* data, Index count) override {
      reduce(data, count, [](double a, double b) { return std::max(a, b); });
    }
    void maximum(int* data, Index count) override {
      reduce(data, count, [](int a, int b) { return std::max(a, b); });
    }
    [[nodiscard]] std::vector<std::string> texts(const std::string& own) override {
      return exchange(&own, [&](const auto& entries) {
        std::vector<std::string> all;
        for (const void* entry : entries) all.push_back(*static_cast<const std::string*>(entry));
        return all;
      });
    }
    void wait() override { all_.barrier_.arrive_and_wait(); }

   private:
    template <class T, class Operation>
    void reduce(T* data, Index count, const Operation& operation) {
      const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
      std::vector<T> own(static_cast<std::size_t>(count));
      copy_memory(own.data(), data, bytes);
      const std::vector<T> result = exchange(own.data(), [&](const auto& entries) {
        const auto of = [&](std::size_t rank) { return static_cast<const T*>(entries[rank]); };
        std::vector<T> joined(of(0), of(0) + count);
        for (std::size_t rank = 1; rank < entries.size(); ++rank)
          std::transform(joined.begin(), joined.end(), of(rank), joined.begin(), operation);
        return joined;
      });
      copy_memory(data, result.data(), bytes);
    }

    RankThreads& all_;
    int rank_;
  };

  int size_;
  std::barrier<> barrier_;
  std::vector<const void*> data_;
};

}  // namespace swav::test
