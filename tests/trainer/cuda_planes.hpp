// A network's images on a GPU, or an emulated one. In: where they are. Out: planes of floats on the host.
#pragma once

#include <doctest/doctest.h>

#include <vector>

#include "model/network.hpp"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

namespace swav::test {

/// What a network reads on a GPU, in the order of planes.
inline std::vector<float> planes_on_gpu(const resnet::ImageMemory& images, Index channels, Index size) {
  using resnet::Precision;
  std::vector<char> bytes(images.bytes);
  REQUIRE(cudaMemcpy(bytes.data(), images.data, images.bytes, cudaMemcpyDeviceToHost) == cudaSuccess);
  const auto value = [&](Index at) {
    return images.precision == Precision::float32
               ? reinterpret_cast<const float*>(bytes.data())[at]
               : static_cast<float>(reinterpret_cast<const __nv_bfloat16*>(bytes.data())[at]);
  };
  const Index pixels = size * size;
  const Index count = static_cast<Index>(images.bytes / bytes_of(images.precision)) / images.pixel_stride / pixels;
  std::vector<float> planes;
  bool padded = true;
  for (Index i = 0; i < count; ++i)
    for (Index c = 0; c < images.pixel_stride; ++c)
      for (Index p = 0; p < pixels; ++p) {
        const float found = value((i * pixels + p) * images.pixel_stride + c);
        if (c < channels)
          planes.push_back(found);
        else
          padded = padded && found == 0;
      }
  CHECK(padded);
  return planes;
}

}  // namespace swav::test
