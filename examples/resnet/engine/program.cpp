// The step list and its memory plan. In: steps and buffers. Out: buffer addresses in one arena, and the runs.
#include "engine/program.hpp"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <new>
#include <utility>

namespace swav::resnet {
namespace {

constexpr std::size_t alignment = 4096;  // no two buffers on one page: their streams do not disturb each other

std::size_t rounded_up(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

}  // namespace

void Program::Free::operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{alignment}); }

Program::Program(RankGroup ranks)
    : engine_(dnnl::engine::kind::cpu, 0),
      stream_(engine_),
      threads_(omp_get_max_threads()),
      ranks_(std::move(ranks)),
      scratchpad_(nullptr) {
  scratchpad_ = kept_buffer(0);
}

dnnl::primitive_attr Program::attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

Buffer* Program::buffer(std::size_t bytes) {
  buffers_.emplace_back().bytes_ = bytes;
  return &buffers_.back();
}

Buffer* Program::kept_buffer(std::size_t bytes) {
  Buffer* kept = buffer(bytes);
  kept->kept_ = true;
  return kept;
}

Buffer* Program::external(void* data) {
  Buffer* foreign = buffer(0);
  foreign->external_ = true;
  foreign->data_ = data;
  return foreign;
}

void Program::add(Section section, std::string name, std::initializer_list<Buffer*> touched,
                  std::function<void()> run) {
  steps(section).push_back({std::move(name), touched, std::move(run), std::numeric_limits<double>::infinity()});
}

void Program::add(Section section, std::string name, const dnnl::primitive& primitive,
                  const dnnl::memory::desc& scratchpad, const std::vector<Argument>& arguments) {
  Call& call = calls_.emplace_back();
  call.primitive = primitive;
  const auto attach = [&](int argument, const dnnl::memory::desc& desc, Buffer* buffer) {
    call.memories.push_back(dnnl::memory(desc, engine_, DNNL_MEMORY_NONE));
    call.buffers.push_back(buffer);
    call.arguments.push_back({argument, call.memories.back().get()});
  };
  for (const Argument& a : arguments) attach(a.name, a.desc, a.buffer);
  scratchpad_->bytes_ = std::max(scratchpad_->bytes_, scratchpad.get_size());
  attach(DNNL_ARG_SCRATCHPAD, scratchpad, scratchpad_);
  steps(section).push_back(
      {std::move(name), call.buffers, [this, &call] { execute(call); }, std::numeric_limits<double>::infinity()});
}

void Program::execute(const Call& call) {
  // The C interface: the C++ one builds the argument list anew at each call.
  dnnl::error::wrap_c_api(dnnl_primitive_execute(call.primitive.get(), stream_.get(),
                                                 static_cast<int>(call.arguments.size()), call.arguments.data()),
                          "could not execute a primitive");
}

void Program::finish() {
  int position = 0;
  for (const auto& section : sections_) {
    for (const Step& step : section) {
      for (Buffer* buffer : step.touched) {
        if (buffer->first_ < 0) buffer->first_ = position;
        buffer->last_ = position;
      }
      ++position;
    }
  }
  std::vector<Buffer*> order;
  for (Buffer& buffer : buffers_) {
    if (buffer.external_ || (buffer.first_ < 0 && !buffer.kept_)) continue;
    if (buffer.kept_) {
      buffer.first_ = 0;
      buffer.last_ = position;
    }
    order.push_back(&buffer);
  }
  // Greedy by size: the largest first, each at the lowest address that is free during its whole life.
  std::stable_sort(order.begin(), order.end(), [](const Buffer* a, const Buffer* b) { return a->bytes_ > b->bytes_; });
  std::vector<Buffer*> placed;  // by offset
  for (Buffer* buffer : order) {
    std::size_t offset = 0;
    for (const Buffer* other : placed) {
      if (other->last_ < buffer->first_ || buffer->last_ < other->first_) continue;
      if (offset + rounded_up(buffer->bytes_) <= other->offset_) break;
      offset = std::max(offset, other->offset_ + rounded_up(other->bytes_));
    }
    buffer->offset_ = offset;
    arena_bytes_ = std::max(arena_bytes_, offset + rounded_up(buffer->bytes_));
    placed.insert(std::upper_bound(placed.begin(), placed.end(), buffer,
                                   [](const Buffer* a, const Buffer* b) { return a->offset_ < b->offset_; }),
                  buffer);
  }
  arena_.reset(
      static_cast<std::byte*>(::operator new (std::max(arena_bytes_, alignment), std::align_val_t{alignment})));
  std::fill_n(arena_.get(), arena_bytes_, std::byte{0});
  for (Buffer* buffer : order) buffer->data_ = arena_.get() + buffer->offset_;
  for (Call& call : calls_)
    for (std::size_t i = 0; i < call.memories.size(); ++i) call.memories[i].set_data_handle(call.buffers[i]->data_);
}

void Program::run(Section section) {
  for (Step& step : steps(section)) {
    if (!profiling_) {
      step.run();
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    step.run();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    step.least_seconds = std::min(step.least_seconds, taken.count());
  }
  stream_.wait();
}

std::vector<Program::StepTime> Program::profile() const {
  std::vector<StepTime> times;
  for (const auto& section : sections_)
    for (const Step& step : section) times.push_back({step.name, step.least_seconds});
  return times;
}

}  // namespace swav::resnet
