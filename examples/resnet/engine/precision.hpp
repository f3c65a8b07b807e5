// How activations and weights are stored while a network computes. In: nothing. Out: the Precision choice and its size.
#pragma once

#include <cstddef>

namespace swav::resnet {

/// float32: everything in float. bfloat16: activations, their gradients and the convolutions' weights in bfloat16;
/// master weights, weight gradients, batch norm's parameters and sums and the projection head in float.
enum class Precision { float32, bfloat16 };

[[nodiscard]] constexpr std::size_t bytes_of(Precision precision) { return precision == Precision::float32 ? 4 : 2; }

}  // namespace swav::resnet
