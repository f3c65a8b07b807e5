// Items are begun in order under one lock; an item takes long enough for that. In: items. Out: batches.
#include "data/prefetcher.hpp"

#include <utility>

namespace swav::resnet {

Prefetcher::Prefetcher(const PrefetchOptions& options, std::function<void(const PrefetchItem&)> prepare)
    : options_(options),
      prepare_(std::move(prepare)),
      next_(options.first),
      undone_(static_cast<std::size_t>(options.slots), options.items),
      released_(options.first),
      batch_(options.first) {
  try {
    for (int worker = 0; worker < options.workers; ++worker)
      threads_.emplace_back([this, worker] { work(static_cast<std::size_t>(worker)); });
  } catch (...) {
    stop();
    throw;
  }
}

Prefetcher::~Prefetcher() { stop(); }

void Prefetcher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  room_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::size_t Prefetcher::slot_of(std::ptrdiff_t batch) const { return static_cast<std::size_t>(batch % options_.slots); }

std::size_t Prefetcher::take() {
  std::unique_lock lock(mutex_);
  const std::size_t slot = slot_of(next_);
  done_.wait(lock, [&] { return undone_[slot] == 0 || failed_batch_ <= next_; });
  if (failed_batch_ <= next_) std::rethrow_exception(failure_);
  ++next_;
  return slot;
}

void Prefetcher::release() {
  {
    const std::lock_guard lock(mutex_);
    undone_[slot_of(released_)] = options_.items;
    ++released_;
  }
  room_.notify_all();
}

void Prefetcher::work(std::size_t worker) {
  std::unique_lock lock(mutex_);
  while (true) {
    room_.wait(lock, [&] { return stopping_ || batch_ < released_ + options_.slots; });
    if (stopping_) return;
    const PrefetchItem item{batch_, item_, slot_of(batch_), worker};
    if (++item_ == options_.items) {
      item_ = 0;
      ++batch_;
    }
    lock.unlock();
    std::exception_ptr failure;
    try {
      prepare_(item);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) {
      // Batches before this one have all their items begun, and will be prepared.
      stopping_ = true;
      room_.notify_all();
      if (item.batch < failed_batch_) {
        failed_batch_ = item.batch;
        failure_ = failure;
      }
    }
    if (--undone_[item.slot] == 0 || failure) done_.notify_one();
  }
}

}  // namespace swav::resnet
