// The step list and its memory plan. In: steps and buffers. Out: buffer addresses in one arena, and the runs.
#include "engine/program.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

namespace swav::resnet {
namespace {

constexpr std::size_t alignment = 4096;  // no two buffers on one page: their streams do not disturb each other

std::size_t rounded_up(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

}  // namespace

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

void Program::widen(Buffer* shared, std::size_t bytes) { shared->bytes_ = std::max(shared->bytes_, bytes); }

void Program::add(Section section, std::string name, std::vector<Buffer*> touched, std::function<void()> run) {
  steps(section).push_back(
      {std::move(name), std::move(touched), std::move(run), std::numeric_limits<double>::infinity()});
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
  auto* const arena = static_cast<std::byte*>(allocate(std::max(arena_bytes_, alignment)));
  for (Buffer* buffer : order) buffer->data_ = arena + buffer->offset_;
  attach();
}

void Program::run(Section section) {
  for (Step& step : steps(section)) {
    if (!profiling_) {
      step.run();
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    step.run();
    wait();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    step.least_seconds = std::min(step.least_seconds, taken.count());
  }
  if (waits()) wait();
}

std::vector<Program::StepTime> Program::profile() const {
  std::vector<StepTime> times;
  for (const auto& section : sections_)
    for (const Step& step : section) times.push_back({step.name, step.least_seconds});
  return times;
}

}  // namespace swav::resnet
