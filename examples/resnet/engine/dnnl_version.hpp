// One spelling for both of oneDNN's C++ interfaces (2.x: operation descriptors; 3.x: none). In: an operation's
// arguments. Out: its primitive descriptor, the type of a Precision. Nothing else in the trainer looks at the version.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>
#include <utility>

#include "engine/precision.hpp"

namespace swav::resnet {

#if DNNL_VERSION_MAJOR >= 3
using PoolingForward = dnnl::pooling_forward;
using PoolingBackward = dnnl::pooling_backward;
#else
/// The form of 2.x that takes dilations, as 3.x does.
using PoolingForward = dnnl::pooling_v2_forward;
using PoolingBackward = dnnl::pooling_v2_backward;
#endif

[[nodiscard]] inline dnnl::memory::data_type dnnl_type(Precision precision) {
  return precision == Precision::float32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

/// The descriptor of a forward primitive; `arguments` are those that both versions share, in their order.
template <class Primitive, class... Arguments>
[[nodiscard]] typename Primitive::primitive_desc describe(const dnnl::engine& engine,
                                                          const dnnl::primitive_attr& attributes,
                                                          Arguments&&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, std::forward<Arguments>(arguments)..., attributes};
#else
  return {typename Primitive::desc(std::forward<Arguments>(arguments)...), attributes, engine};
#endif
}

/// The descriptor of a backward primitive; `forward` is the descriptor of the pass that it differentiates.
template <class Primitive, class Hint, class... Arguments>
[[nodiscard]] typename Primitive::primitive_desc describe_backward(const dnnl::engine& engine,
                                                                   const dnnl::primitive_attr& attributes,
                                                                   const Hint& forward, Arguments&&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, std::forward<Arguments>(arguments)..., forward, attributes};
#else
  return {typename Primitive::desc(std::forward<Arguments>(arguments)...), attributes, engine, forward};
#endif
}

}  // namespace swav::resnet
