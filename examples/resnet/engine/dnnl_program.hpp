// A program whose steps are oneDNN's primitives and our own passes on the CPU. In: primitives, arguments. Out: steps
// that run without building anything.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <vector>

#include "engine/program.hpp"

namespace swav::resnet {

/// Memory objects, scratchpads and argument lists exist before the first run.
class DnnlProgram : public Program {
 public:
  struct Argument {
    int name;  ///< DNNL_ARG_...
    dnnl::memory::desc desc;
    Buffer* buffer;
  };

  explicit DnnlProgram(RankGroup ranks = {});

  [[nodiscard]] const dnnl::engine& engine() const { return engine_; }
  [[nodiscard]] int threads() const { return threads_; }
  /// Scratchpads in the program's memory: what every primitive here is described with.
  [[nodiscard]] static dnnl::primitive_attr attributes();

  using Program::add;
  /// A oneDNN primitive.
  void add(Section section, std::string name, const dnnl::primitive& primitive, const dnnl::memory::desc& scratchpad,
           const std::vector<Argument>& arguments);

 private:
  struct Call {
    dnnl::primitive primitive;
    std::vector<dnnl::memory> memories;
    std::vector<Buffer*> buffers;
    std::vector<dnnl_exec_arg_t> arguments;
  };

  [[nodiscard]] void* allocate(std::size_t bytes) override;
  void attach() override;
  void wait() override { stream_.wait(); }
  void execute(const Call& call);

  dnnl::engine engine_;
  dnnl::stream stream_;
  int threads_;
  std::deque<Call> calls_;
  Buffer* scratchpad_;
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte, Free> arena_;
};

}  // namespace swav::resnet
