// Steps by oneDNN. In: primitives. Out: their execution.
#include "engine/dnnl_program.hpp"

#include <omp.h>

#include <algorithm>
#include <new>
#include <utility>

namespace swav::resnet {
namespace {

constexpr std::size_t alignment = 4096;

}  // namespace

void DnnlProgram::Free::operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{alignment}); }

DnnlProgram::DnnlProgram(RankGroup ranks)
    : Program(std::move(ranks)),
      engine_(dnnl::engine::kind::cpu, 0),
      stream_(engine_),
      threads_(omp_get_max_threads()),
      scratchpad_(kept_buffer(0)) {}

dnnl::primitive_attr DnnlProgram::attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

void DnnlProgram::add(Section section, std::string name, const dnnl::primitive& primitive,
                      const dnnl::memory::desc& scratchpad, const std::vector<Argument>& arguments) {
  Call& call = calls_.emplace_back();
  call.primitive = primitive;
  const auto attach = [&](int argument, const dnnl::memory::desc& desc, Buffer* buffer) {
    call.memories.push_back(dnnl::memory(desc, engine_, DNNL_MEMORY_NONE));
    call.buffers.push_back(buffer);
    call.arguments.push_back({argument, call.memories.back().get()});
  };
  for (const Argument& a : arguments) attach(a.name, a.desc, a.buffer);
  widen(scratchpad_, scratchpad.get_size());
  attach(DNNL_ARG_SCRATCHPAD, scratchpad, scratchpad_);
  add(section, std::move(name), call.buffers, [this, &call] { execute(call); });
}

void DnnlProgram::execute(const Call& call) {
  // The C interface: the C++ one builds the argument list anew at each call.
  dnnl::error::wrap_c_api(dnnl_primitive_execute(call.primitive.get(), stream_.get(),
                                                 static_cast<int>(call.arguments.size()), call.arguments.data()),
                          "could not execute a primitive");
}

void* DnnlProgram::allocate(std::size_t bytes) {
  arena_.reset(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{alignment})));
  std::fill_n(arena_.get(), bytes, std::byte{0});
  return arena_.get();
}

void DnnlProgram::attach() {
  for (Call& call : calls_)
    for (std::size_t i = 0; i < call.memories.size(); ++i) call.memories[i].set_data_handle(call.buffers[i]->data());
}

}  // namespace swav::resnet
