// All files of a batch by one call of nvJPEG, one by one where it does not take them together. In: files. Out: pixels.
#include "train/cuda/jpeg_decoder.cuh"

#include <nvjpeg.h>

#include <thread>
#include <utility>

#include "swav/core/error.hpp"

namespace swav::resnet::cuda {
namespace {

constexpr int turn_threads = 256;

void check_nvjpeg(nvjpegStatus_t status, const char* call) {
  if (status != NVJPEG_STATUS_SUCCESS)
    throw CudaError(swav::detail::concatenate("--decode gpu: ", call, ": status ", static_cast<int>(status)));
}

/// A thread a pixel of the upright image; data/orientation.cpp has the same on the host.
template <class T>
__global__ void __launch_bounds__(turn_threads)
    turn_image(const T* stored, Index stored_height, Index stored_width, int orientation, T* upright) {
  const Index at = static_cast<Index>(blockIdx.x) * turn_threads + threadIdx.x;
  if (at >= stored_height * stored_width) return;
  const bool swapped = orientation >= 5;
  const bool rows_reversed = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool columns_reversed = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const Index width = swapped ? stored_height : stored_width, y = at / width, x = at % width;
  const Index row = swapped ? x : y, column = swapped ? y : x;
  const Index from_row = rows_reversed ? stored_height - 1 - row : row;
  const Index from_column = columns_reversed ? stored_width - 1 - column : column;
  const T* const from = stored + 3 * (from_row * stored_width + from_column);
  for (int c = 0; c < 3; ++c) upright[3 * at + c] = from[c];
}

/// Has a name, without which nvcc 13.0 does not compile vectors of it.
struct Output : nvjpegImage_t {};
static_assert(sizeof(Output) == sizeof(nvjpegImage_t));

class NvJpegDecoder final : public JpegDecoder {
 public:
  explicit NvJpegDecoder(const CudaDevice& device) : device_(device) {
    unsigned flags = NVJPEG_FLAGS_DEFAULT;
#ifdef NVJPEG_FLAGS_UPSAMPLING_WITH_INTERPOLATION  // as libjpeg does; not in all versions
    flags |= (NVJPEG_FLAGS_UPSAMPLING_WITH_INTERPOLATION);
#endif
    nvjpegHandle_t handle = nullptr;
    check_nvjpeg(nvjpegCreateEx(NVJPEG_BACKEND_GPU_HYBRID, nullptr, nullptr, flags, &handle), "nvjpegCreateEx");
    handle_.reset(handle);
    nvjpegJpegState_t state = nullptr;
    check_nvjpeg(nvjpegJpegStateCreate(handle, &state), "nvjpegJpegStateCreate");
    state_.reset(state);
  }
  NvJpegDecoder(const NvJpegDecoder&) = delete;
  /// Waits for what was begun, whatever ended the batch.
  ~NvJpegDecoder() override { cudaStreamSynchronize(device_.stream()); }

  [[nodiscard]] std::vector<std::size_t> decode(std::span<const JpegJob> jobs) override {
    if (jobs.empty()) return {};
    place(jobs);
    std::vector<std::size_t> refused;
    if (!decode_together(jobs.size())) refused = decode_each(jobs.size());
    auto is_refused = refused.begin();
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (is_refused != refused.end() && *is_refused == i)
        ++is_refused;
      else if (jobs[i].file.orientation != 1)
        turn(jobs[i], images_[i].channel[0]);
    }
    return refused;
  }

 private:
  struct Destroy {
    void operator()(nvjpegHandle_t handle) const { nvjpegDestroy(handle); }
    void operator()(nvjpegJpegState_t state) const { nvjpegJpegStateDestroy(state); }
  };

  static Index stored_width(const JpegJob& job) { return job.file.orientation >= 5 ? job.height : job.width; }

  /// Where nvJPEG writes: what has to be turned afterwards goes elsewhere first.
  void place(std::span<const JpegJob> jobs) {
    Index turned_bytes = 0;
    for (const JpegJob& job : jobs)
      if (job.file.orientation != 1) turned_bytes += 3 * job.height * job.width;
    std::uint8_t* elsewhere = turned_bytes > 0 ? turned_.reserve_ahead(turned_bytes) : nullptr;
    images_.clear(), files_.clear(), sizes_.clear();
    for (const JpegJob& job : jobs) {
      Output image{};
      image.channel[0] =
          job.file.orientation == 1 ? job.to : std::exchange(elsewhere, elsewhere + 3 * job.height * job.width);
      image.pitch[0] = static_cast<std::size_t>(3 * stored_width(job));
      images_.push_back(image);
      files_.push_back(job.file.bytes.data());
      sizes_.push_back(job.file.bytes.size());
    }
  }

  bool decode_together(std::size_t count) {
    if (count != prepared_) {
      const int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
      prepared_ = 0;
      check_nvjpeg(nvjpegDecodeBatchedInitialize(handle_.get(), state_.get(), static_cast<int>(count), threads,
                                                 NVJPEG_OUTPUT_RGBI),
                   "nvjpegDecodeBatchedInitialize");
      prepared_ = count;
    }
    const nvjpegStatus_t status = nvjpegDecodeBatched(handle_.get(), state_.get(), files_.data(), sizes_.data(),
                                                      images_.data(), device_.stream());
    if (status == NVJPEG_STATUS_SUCCESS) return true;
    prepared_ = 0;  // a batch that failed has to be started anew
    if (!may_be_of_a_file(status)) check_nvjpeg(status, "nvjpegDecodeBatched");
    finish();
    return false;
  }

  /// Returns which cannot be decoded.
  std::vector<std::size_t> decode_each(std::size_t count) {
    std::vector<std::size_t> refused;
    for (std::size_t i = 0; i < count; ++i) {
      const nvjpegStatus_t status = nvjpegDecode(handle_.get(), state_.get(), files_[i], sizes_[i], NVJPEG_OUTPUT_RGBI,
                                                 &images_[i], device_.stream());
      if (may_be_of_a_file(status))
        refused.push_back(i);
      else
        check_nvjpeg(status, "nvjpegDecode");
      finish();
    }
    return refused;
  }

  /// Waits for the state, which the next file needs, too. Throws where it is the GPU that failed.
  void finish() const {
    swav::detail::check_cuda(cudaStreamSynchronize(device_.stream()), "cudaStreamSynchronize");
    static_cast<void>(cudaGetLastError());  // of a launch that nvJPEG has told of
  }

  /// What nvJPEG cannot do with a file; of some it does not say more than that its execution failed.
  static bool may_be_of_a_file(nvjpegStatus_t status) {
    return status == NVJPEG_STATUS_BAD_JPEG || status == NVJPEG_STATUS_JPEG_NOT_SUPPORTED ||
           status == NVJPEG_STATUS_INCOMPLETE_BITSTREAM || status == NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED ||
           status == NVJPEG_STATUS_EXECUTION_FAILED || status == NVJPEG_STATUS_INTERNAL_ERROR;
  }

  void turn(const JpegJob& job, const std::uint8_t* stored) {
    const Index pixels = job.height * job.width, width = stored_width(job);
    swav::detail::launch(device_, (pixels + turn_threads - 1) / turn_threads, turn_threads, turn_image<std::uint8_t>,
                         stored, pixels / width, width, job.file.orientation, job.to);
  }

  CudaDevice device_;
  std::unique_ptr<nvjpegHandle, Destroy> handle_;
  std::unique_ptr<nvjpegJpegState, Destroy> state_;
  CudaBuffer<std::uint8_t> turned_;
  std::vector<Output> images_;
  std::vector<const unsigned char*> files_;
  std::vector<std::size_t> sizes_;
  std::size_t prepared_ = 0;  // for batches of so many
};

}  // namespace

std::unique_ptr<JpegDecoder> make_jpeg_decoder(const CudaDevice& device) {
  return std::make_unique<NvJpegDecoder>(device);
}

}  // namespace swav::resnet::cuda
