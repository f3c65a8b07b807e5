// How activations and weights are stored while a network computes. In: nothing. Out: the Precision choice, its oneDNN
// type and its size.
#pragma once

#include <cstddef>
#include <oneapi/dnnl/dnnl.hpp>

namespace swav::resnet {

/// float32: everything in float. bfloat16: activations, their gradients and the convolutions' weights in bfloat16;
/// master weights, weight gradients, batch norm's parameters and sums and the projection head in float.
enum class Precision { float32, bfloat16 };

[[nodiscard]] inline dnnl::memory::data_type dnnl_type(Precision precision) {
  return precision == Precision::float32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

}  // namespace swav::resnet
