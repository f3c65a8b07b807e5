// A network as a fixed list of steps over buffers whose memory is planned once. In: steps, each with the buffers it
// touches. Out: one arena in which buffers that never live at the same time share memory, and a run that allocates
// nothing of its own.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/rank_group.hpp"

namespace swav::resnet {

/// A piece of memory that steps read and write, a host's or a device's. Its address is known after Program::finish().
class Buffer {
 public:
  template <class T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(data_);
  }
  [[nodiscard]] void* data() const { return data_; }

 private:
  friend class Program;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t offset_ = 0;
  int first_ = -1;  // steps between which the contents matter
  int last_ = -1;
  bool external_ = false;
  bool kept_ = false;
};

/// The steps run in the order prepare, forward, backward; the plan takes this order as one timeline.
enum class Section { prepare, forward, backward };

/// Builds once, runs many times. An engine's program adds its own kinds of steps, and says where the memory is.
class Program {
 public:
  struct StepTime {
    std::string name;
    double seconds;  ///< the least over the profiled runs
  };

  /// `ranks`: the processes whose batches are one in batch norm.
  explicit Program(RankGroup ranks = {}) : ranks_(std::move(ranks)) {}
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  virtual ~Program() = default;

  [[nodiscard]] const RankGroup& ranks() const { return ranks_; }

  /// Memory that is only valid from the first step that touches it to the last.
  [[nodiscard]] Buffer* buffer(std::size_t bytes);
  /// Memory that keeps its contents from one run to the next.
  [[nodiscard]] Buffer* kept_buffer(std::size_t bytes);
  /// Memory that several steps use, each for itself: as large as the largest asks for.
  void widen(Buffer* shared, std::size_t bytes);
  /// Somebody else's memory, which must outlive the program.
  [[nodiscard]] Buffer* external(void* data);

  void add(Section section, std::string name, std::vector<Buffer*> touched, std::function<void()> run);

  /// Plans the memory. No buffer and no step may be added afterwards.
  void finish();
  void run(Section section);
  [[nodiscard]] std::size_t arena_bytes() const { return arena_bytes_; }

  /// Switches the timing of each step on, for finding out where the time goes.
  void set_profiling(bool on) { profiling_ = on; }
  [[nodiscard]] std::vector<StepTime> profile() const;

 protected:
  /// The arena: `bytes`, one or more, aligned as the device likes it.
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
  /// Returns once the steps' work is done.
  virtual void wait() = 0;
  /// What is to be done once buffers have addresses.
  virtual void attach() {}
  /// Whether a run ends with wait(): not where others queue work behind it.
  [[nodiscard]] virtual bool waits() const { return true; }

 private:
  struct Step {
    std::string name;
    std::vector<Buffer*> touched;
    std::function<void()> run;
    double least_seconds;
  };

  std::vector<Step>& steps(Section section) { return sections_[static_cast<std::size_t>(section)]; }

  RankGroup ranks_;
  std::vector<Step> sections_[3];
  std::deque<Buffer> buffers_;
  std::size_t arena_bytes_ = 0;
  bool profiling_ = false;
};

}  // namespace swav::resnet
