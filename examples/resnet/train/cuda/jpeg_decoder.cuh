// JPEG files to pixels on the GPU, by nvJPEG. In: files in the host's memory. Out: upright interleaved RGB in the
// GPU's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "data/image_source.hpp"
#include "swav/backend/cuda/device.cuh"

namespace swav::resnet::cuda {

struct JpegJob {
  JpegFile file;
  Index height, width;  ///< of the upright image
  std::uint8_t* to;     ///< 3 height width bytes of the GPU's memory
};

class JpegDecoder {
 public:
  virtual ~JpegDecoder() = default;
  /// Enqueues the decoding of all files on the device's stream. The files must stay, and the next call wait, until that
  /// is done. Returns the numbers of the jobs that nvJPEG does not take, for which nothing is enqueued.
  [[nodiscard]] virtual std::vector<std::size_t> decode(std::span<const JpegJob> jobs) = 0;
};

/// On the stream of `device`. Throws InvalidInput in a build without nvJPEG, CudaError where it cannot start.
[[nodiscard]] std::unique_ptr<JpegDecoder> make_jpeg_decoder(const CudaDevice& device);

}  // namespace swav::resnet::cuda
