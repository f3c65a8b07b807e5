// Batches prepared ahead by threads of their own. In: what prepares one item of a batch. Out: the batches in order,
// each in one of a few slots, which are used again.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

namespace swav::resnet {

struct PrefetchOptions {
  int workers = 1;           ///< threads
  std::ptrdiff_t slots = 2;  ///< batches that are prepared or wait at a time
  std::ptrdiff_t items = 1;  ///< of a batch; the workers share them out one by one, in order
  std::ptrdiff_t first = 0;  ///< the number of the first batch
};

struct PrefetchItem {
  std::ptrdiff_t batch = 0;
  std::ptrdiff_t item = 0;
  std::size_t slot = 0;    ///< batch % slots
  std::size_t worker = 0;  ///< below `workers`: names the thread's working memory
};

class Prefetcher {
 public:
  /// Starts at once. `prepare` is called once for each item, by many threads at a time.
  Prefetcher(const PrefetchOptions& options, std::function<void(const PrefetchItem&)> prepare);

  /// Begins no other item and waits for those that are begun.
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// The number of the batch that take() gives next.
  [[nodiscard]] std::ptrdiff_t next() const { return next_; }

  /// Waits for the next batch and returns its slot, which is the caller's until release(). Throws what `prepare` threw
  /// for one of its items: the batches before are still given, none after. Allocates nothing.
  std::size_t take();

  /// Gives the slot back for a later batch.
  void release();

 private:
  void work(std::size_t worker);
  void stop();
  [[nodiscard]] std::size_t slot_of(std::ptrdiff_t batch) const;

  const PrefetchOptions options_;
  const std::function<void(const PrefetchItem&)> prepare_;
  std::ptrdiff_t next_;  // the caller's alone

  std::mutex mutex_;                    // guards all that follows but threads_
  std::condition_variable room_;        // an item may be begun, or none any more
  std::condition_variable done_;        // a batch is prepared, or failed
  std::vector<std::ptrdiff_t> undone_;  // items a slot
  std::ptrdiff_t released_;             // the first batch that has not been given back
  std::ptrdiff_t batch_;                // of the item that is begun next
  std::ptrdiff_t item_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::ptrdiff_t failed_batch_ = std::numeric_limits<std::ptrdiff_t>::max();

  std::vector<std::thread> threads_;
};

}  // namespace swav::resnet
