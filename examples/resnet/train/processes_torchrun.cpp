// Processes joined by TCP, as torchrun's environment variables say. In: those that torchrun started. Out: sums, texts,
// waits and errors among them. Each number goes to rank 0 and comes back from there: that is enough for what GPUs leave
// to the host, and slow for the gradients of a large network on CPUs, for which MPI is there.
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "swav/comm/exchange.hpp"
#include "swav/core/error.hpp"
#include "train/launch.hpp"

namespace swav::resnet {
namespace {

using swav::detail::Socket;

class TcpLink final : public RankLink {
 public:
  TcpLink() : point_(meeting_point_of_environment()) {
    const swav::detail::Exchange exchange(point_);
    if (point_.rank == 0)
      others_ = exchange.accept_all();
    else
      others_.push_back(exchange.connect_to_first());
  }

  [[nodiscard]] int rank() const override { return point_.rank; }
  [[nodiscard]] int size() const override { return point_.size; }
  [[nodiscard]] int rank_on_machine() const override { return swav::detail::number_in_environment("LOCAL_RANK"); }
  void sum(float* data, Index count) override { reduce(data, count, add<float>); }
  void sum(double* data, Index count) override { reduce(data, count, add<double>); }
  void maximum(float* data, Index count) override { reduce(data, count, larger<float>); }
  void maximum(double* data, Index count) override { reduce(data, count, larger<double>); }
  void maximum(int* data, Index count) override { reduce(data, count, larger<int>); }
  [[nodiscard]] std::vector<std::string> texts(const std::string& own) override {
    std::vector<std::string> all(static_cast<std::size_t>(size()));
    all[static_cast<std::size_t>(rank())] = own;
    if (rank() == 0) {
      for (std::size_t r = 1; r < all.size(); ++r) all[r] = receive_text(r - 1);
      for (std::size_t r = 1; r < all.size(); ++r)
        for (const std::string& text : all) send_text(r - 1, text);
    } else {
      send_text(0, own);
      for (std::string& text : all) text = receive_text(0);
    }
    return all;
  }
  void wait() override {
    char nothing = 0;
    reduce(&nothing, 1, larger<char>);
  }
  [[nodiscard]] std::string launcher() const override {
    return "torchrun --no-python --nproc-per-node " + std::to_string(size());
  }

 private:
  template <class T>
  static T add(T a, T b) {
    return a + b;
  }
  template <class T>
  static T larger(T a, T b) {
    return std::max(a, b);
  }

  template <class T>
  void reduce(T* data, Index count, T (*combine)(T, T)) {
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    if (rank() != 0) {
      send(0, data, bytes);
      return receive(0, data, bytes);
    }
    buffer_.resize(std::max(buffer_.size(), bytes / sizeof(std::max_align_t) + 1));
    auto* const theirs = reinterpret_cast<T*>(buffer_.data());
    for (std::size_t other = 0; other < others_.size(); ++other) {
      receive(other, theirs, bytes);
      std::transform(data, data + count, theirs, data, combine);
    }
    for (std::size_t other = 0; other < others_.size(); ++other) send(other, data, bytes);
  }

  void send(std::size_t other, const void* bytes, std::size_t count) const {
    if (!swav::detail::send_bytes(others_[other], bytes, count)) lost(other);
  }
  void receive(std::size_t other, void* bytes, std::size_t count) const {
    if (!swav::detail::receive_bytes(others_[other], bytes, count)) lost(other);
  }
  void send_text(std::size_t other, const std::string& text) const {
    const std::size_t size = text.size();
    send(other, &size, sizeof size);
    send(other, text.data(), size);
  }
  [[nodiscard]] std::string receive_text(std::size_t other) const {
    std::size_t size = 0;
    receive(other, &size, sizeof size);
    std::string text(size, '\0');
    receive(other, text.data(), size);
    return text;
  }
  [[noreturn]] void lost(std::size_t other) const {
    throw InvalidElsewhere(swav::detail::concatenate("rank ", rank() == 0 ? other + 1 : 0, " of ", size(),
                                                     " has ended, or cannot be reached any more"));
  }

  MeetingPoint point_;
  std::vector<Socket> others_;  // of rank 0 all others, of these rank 0
  std::vector<std::max_align_t> buffer_;
};

class TorchrunProcesses final : public Processes {
 public:
  TorchrunProcesses() : link_(std::make_shared<TcpLink>()) {
    const auto cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    const int share = std::max(1, cores / std::max(1, swav::detail::number_in_environment("LOCAL_WORLD_SIZE")));
    threads_ = std::getenv("OMP_NUM_THREADS") != nullptr ? omp_get_max_threads() : share;
    if (threads_ < share)
      doubt_ = swav::detail::concatenate("OMP_NUM_THREADS, which torchrun sets to 1 unless it is set, gives a rank ",
                                         threads_, " of ", cores, " cores; --threads ", share, " takes an equal share");
    threads_ = fewest_threads(*link_, threads_);
  }

  [[nodiscard]] RankGroup ranks() override { return RankGroup(link_); }
  [[nodiscard]] int threads() override { return threads_; }
  [[nodiscard]] std::string doubt() override { return doubt_; }

  // Ranks that all fail do so at about one time. torchrun ends all when it sees that one has: most often before those
  // could speak that only repeat rank 0's error, or follow another's.
  void report_failure(const std::string& message, bool elsewhere) override {
    using namespace std::chrono_literals;
    std::this_thread::sleep_for(elsewhere ? 3000ms : link_->rank() > 0 ? 1000ms : 0ms);
    print_failure_of_rank(*link_, message);
  }

 private:
  std::shared_ptr<TcpLink> link_;
  int threads_ = 1;
  std::string doubt_;
};

}  // namespace

std::unique_ptr<Processes> join_by_torchrun() { return std::make_unique<TorchrunProcesses>(); }

}  // namespace swav::resnet
