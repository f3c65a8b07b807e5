// nvJPEG on the CPU, over libjpeg: as much of it as the trainer calls. In, out: what nvJPEG's own take and give. Pixels
// are libjpeg's; they arrive when the stream's work is done.
#pragma once

#include <csetjmp>
#include <cstdio>
// This needs <cstdio> before it.
#include <jpeglib.h>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "cuda_runtime.h"

enum nvjpegStatus_t {
  NVJPEG_STATUS_SUCCESS = 0,
  NVJPEG_STATUS_INVALID_PARAMETER = 2,
  NVJPEG_STATUS_BAD_JPEG = 3,
  NVJPEG_STATUS_JPEG_NOT_SUPPORTED = 4,
  NVJPEG_STATUS_EXECUTION_FAILED = 6,
  NVJPEG_STATUS_INTERNAL_ERROR = 8,
  NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED = 9,
  NVJPEG_STATUS_INCOMPLETE_BITSTREAM = 10
};
enum nvjpegOutputFormat_t { NVJPEG_OUTPUT_RGBI = 5 };
enum nvjpegBackend_t { NVJPEG_BACKEND_GPU_HYBRID = 2 };
#define NVJPEG_FLAGS_DEFAULT 0
struct nvjpegImage_t {
  unsigned char* channel[4];
  std::size_t pitch[4];
};
struct nvjpegHandle {};
struct nvjpegJpegState {
  int batch = 0;
  // Files whose work on the stream is not done: until then the state is not for another call.
  std::shared_ptr<std::atomic<int>> pending = std::make_shared<std::atomic<int>>(0);
};
using nvjpegHandle_t = nvjpegHandle*;
using nvjpegJpegState_t = nvjpegJpegState*;

namespace swav::emulation {

inline unsigned jpeg_refused_width = 0;  // files of that width are not decoded, for that reason:
inline nvjpegStatus_t jpeg_refusal = NVJPEG_STATUS_JPEG_NOT_SUPPORTED;
inline long jpegs_decoded = 0;
inline long jpeg_batches = 0;  // that were decoded together

struct JpegError {
  jpeg_error_mgr base;
  std::jmp_buf escape;
};

inline bool decode_jpeg(jpeg_decompress_struct& info, JpegError& error, const unsigned char* file, std::size_t size,
                        std::vector<unsigned char>& pixels, bool& is_supported) {
  if (setjmp(error.escape) != 0) return false;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, file, size);
  jpeg_read_header(&info, TRUE);
  is_supported = info.jpeg_color_space == JCS_YCbCr && info.image_width != jpeg_refused_width;
  if (!is_supported) return true;
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  pixels.resize(std::size_t{3} * info.image_width * info.image_height);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = pixels.data() + std::size_t{3} * info.image_width * info.output_scanline;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

}  // namespace swav::emulation

inline nvjpegStatus_t nvjpegCreateEx(nvjpegBackend_t, void*, void*, unsigned, nvjpegHandle_t* handle) {
  *handle = new nvjpegHandle;
  return NVJPEG_STATUS_SUCCESS;
}
inline nvjpegStatus_t nvjpegDestroy(nvjpegHandle_t handle) {
  delete handle;
  return NVJPEG_STATUS_SUCCESS;
}
inline nvjpegStatus_t nvjpegJpegStateCreate(nvjpegHandle_t, nvjpegJpegState_t* state) {
  *state = new nvjpegJpegState;
  return NVJPEG_STATUS_SUCCESS;
}
inline nvjpegStatus_t nvjpegJpegStateDestroy(nvjpegJpegState_t state) {
  delete state;
  return NVJPEG_STATUS_SUCCESS;
}

namespace swav::emulation {

inline nvjpegStatus_t decode_file(const nvjpegJpegState& state, const unsigned char* file, std::size_t size,
                                  const nvjpegImage_t& to, cudaStream_t stream) {
  jpeg_decompress_struct info{};
  JpegError error{};
  info.err = jpeg_std_error(&error.base);
  error.base.error_exit = [](j_common_ptr of) { std::longjmp(reinterpret_cast<JpegError*>(of->err)->escape, 1); };
  error.base.output_message = [](j_common_ptr) {};
  const auto pixels = std::make_shared<std::vector<unsigned char>>();
  bool is_supported = true;
  const bool is_whole = decode_jpeg(info, error, file, size, *pixels, is_supported);
  const std::size_t row = std::size_t{3} * info.image_width;
  jpeg_destroy_decompress(&info);
  if (!is_whole) return NVJPEG_STATUS_BAD_JPEG;
  if (!is_supported) return jpeg_refusal;
  if (to.pitch[0] < row) return NVJPEG_STATUS_INVALID_PARAMETER;
  ++jpegs_decoded;
  ++*state.pending;
  submit(stream, [pixels, row, to, pending = state.pending] {
    for (std::size_t y = 0; y * row < pixels->size(); ++y)
      std::memcpy(to.channel[0] + y * to.pitch[0], pixels->data() + y * row, row);
    --*pending;
  });
  return NVJPEG_STATUS_SUCCESS;
}

}  // namespace swav::emulation

inline nvjpegStatus_t nvjpegDecode(nvjpegHandle_t, nvjpegJpegState_t state, const unsigned char* file, std::size_t size,
                                   nvjpegOutputFormat_t, nvjpegImage_t* to, cudaStream_t stream) {
  if (*state->pending > 0) return NVJPEG_STATUS_INVALID_PARAMETER;
  return swav::emulation::decode_file(*state, file, size, *to, stream);
}

inline nvjpegStatus_t nvjpegDecodeBatchedInitialize(nvjpegHandle_t, nvjpegJpegState_t state, int batch, int threads,
                                                    nvjpegOutputFormat_t) {
  if (batch < 1 || threads < 1 || *state->pending > 0) return NVJPEG_STATUS_INVALID_PARAMETER;
  state->batch = batch;
  return NVJPEG_STATUS_SUCCESS;
}
inline nvjpegStatus_t nvjpegDecodeBatched(nvjpegHandle_t, nvjpegJpegState_t state, const unsigned char* const* files,
                                          const std::size_t* sizes, nvjpegImage_t* to, cudaStream_t stream) {
  const int batch = std::exchange(state->batch, 0);
  if (batch == 0 || *state->pending > 0) return NVJPEG_STATUS_INVALID_PARAMETER;
  nvjpegStatus_t failure = NVJPEG_STATUS_SUCCESS;
  for (int i = 0; i < batch; ++i) {  // all that can be are begun
    const nvjpegStatus_t status = swav::emulation::decode_file(*state, files[i], sizes[i], to[i], stream);
    if (status != NVJPEG_STATUS_SUCCESS) failure = status;
  }
  if (failure != NVJPEG_STATUS_SUCCESS) return failure;  // the batch has to be initialised again
  state->batch = batch;
  ++swav::emulation::jpeg_batches;
  return NVJPEG_STATUS_SUCCESS;
}
