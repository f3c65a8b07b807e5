// A network as a fixed list of steps over buffers whose memory is planned once. In: steps, each with the buffers it
// touches. Out: one arena in which buffers that never live at the same time share memory, and a run that allocates
// nothing of its own.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <vector>

#include "engine/rank_group.hpp"

namespace swav::resnet {

/// A piece of memory that steps read and write. Its address is known after Program::finish().
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

/// Builds once, runs many times. Buffers, memory objects, scratchpads and argument lists exist before the first run.
class Program {
 public:
  struct Argument {
    int name;  ///< DNNL_ARG_...
    dnnl::memory::desc desc;
    Buffer* buffer;
  };
  struct StepTime {
    std::string name;
    double seconds;  ///< the least over the profiled runs
  };

  /// `ranks`: the processes whose batches are one in batch norm.
  explicit Program(RankGroup ranks = {});
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  [[nodiscard]] const dnnl::engine& engine() const { return engine_; }
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] const RankGroup& ranks() const { return ranks_; }
  /// Scratchpads in the program's memory: what every primitive here is described with.
  [[nodiscard]] static dnnl::primitive_attr attributes();

  /// Memory that is only valid from the first step that touches it to the last.
  [[nodiscard]] Buffer* buffer(std::size_t bytes);
  /// Memory that keeps its contents from one run to the next.
  [[nodiscard]] Buffer* kept_buffer(std::size_t bytes);
  /// Somebody else's memory, which must outlive the program.
  [[nodiscard]] Buffer* external(void* data);

  /// A step of our own.
  void add(Section section, std::string name, std::initializer_list<Buffer*> touched, std::function<void()> run);
  /// A oneDNN primitive.
  void add(Section section, std::string name, const dnnl::primitive& primitive, const dnnl::memory::desc& scratchpad,
           const std::vector<Argument>& arguments);

  /// Plans the memory. No buffer and no step may be added afterwards.
  void finish();
  void run(Section section);
  [[nodiscard]] std::size_t arena_bytes() const { return arena_bytes_; }

  /// Switches the timing of each step on, for finding out where the time goes.
  void set_profiling(bool on) { profiling_ = on; }
  [[nodiscard]] std::vector<StepTime> profile() const;

 private:
  struct Call {
    dnnl::primitive primitive;
    std::vector<dnnl::memory> memories;
    std::vector<Buffer*> buffers;
    std::vector<dnnl_exec_arg_t> arguments;
  };
  struct Step {
    std::string name;
    std::vector<Buffer*> touched;
    std::function<void()> run;
    double least_seconds;
  };

  std::vector<Step>& steps(Section section) { return sections_[static_cast<std::size_t>(section)]; }
  void execute(const Call& call);

  dnnl::engine engine_;
  dnnl::stream stream_;
  int threads_;
  RankGroup ranks_;
  std::vector<Step> sections_[3];
  std::deque<Buffer> buffers_;
  std::deque<Call> calls_;
  Buffer* scratchpad_;
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte, Free> arena_;
  std::size_t arena_bytes_ = 0;
  bool profiling_ = false;
};

}  // namespace swav::resnet
