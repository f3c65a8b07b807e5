// JPEG files on the GPU, in a build without nvJPEG. In: anything. Out: InvalidInput.
#include "swav/core/error.hpp"
#include "train/cuda/jpeg_decoder.cuh"

namespace swav::resnet::cuda {

std::unique_ptr<JpegDecoder> make_jpeg_decoder(const CudaDevice&) {
  throw InvalidInput("--decode: gpu found, which this build is without: nvJPEG was not found; cpu wanted");
}

}  // namespace swav::resnet::cuda
