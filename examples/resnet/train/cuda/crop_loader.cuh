// Crops on the GPU. In: decoded images of the host. Out: the crops that the CPU would render, in a network's images.
//
// A batch's images are copied from pinned memory on a stream of their own, beside the step before, into one of two
// places on the GPU; the trainer's stream waits for them, renders all crops in one launch, and says when the place is
// free. The host waits for the copy of the last batch alone, which was done long ago where a step is of one batch; with
// more, for the place that batch is in. A data set in memory is copied once, as a whole, where it takes no more than a
// quarter of what the GPU has left.
#pragma once

#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/cuda/device.cuh"
#include "engine/cuda/host_memory.cuh"
#include "model/network.hpp"
#include "swav/backend/cuda/crop_passes.cuh"
#include "swav/crops/basic_multi_crop.hpp"
#include "train/batch_source.hpp"

namespace swav::resnet::cuda {

class CropLoader {
 public:
  /// `source` outlives this; batches are for `network`, or for memory like its images'.
  CropLoader(BatchSource& source, Network& network)
      : source_(source),
        device_(trainer_device()),
        precision_(network.images(0).precision),
        pixel_stride_(network.images(0).pixel_stride),
        crops_(interleaved(source.specs(), pixel_stride_), device_) {
    const std::span<const std::uint8_t> all = source.storage();
    std::size_t left = 0, total = 0;
    swav::detail::check_cuda(cudaMemGetInfo(&left, &total), "cudaMemGetInfo");
    if (!all.empty() && all.size() <= left / 4) {
      const auto bytes = static_cast<Index>(all.size());
      resident_ = places_[0].pixels.reserve(bytes);
      swav::detail::upload(device_, all.data(), bytes, places_[0].pixels.data());
    } else {
      copies_ = make_stream();
      source.set_memory(pinned_memory);
    }
  }

  /// Waits for copies from memory that may be freed next.
  ~CropLoader() {
    if (copies_) cudaStreamSynchronize(copies_.get());
  }
  CropLoader(const CropLoader&) = delete;

  /// Enqueues the crops of a batch, for inputs[g] of each group.
  void load(Index batch, std::span<void* const> inputs) {
    if (precision_ == Precision::float32)
      render<float>(batch, inputs);
    else
      render<__nv_bfloat16>(batch, inputs);
  }

 private:
  struct Place {
    CudaBuffer<std::uint8_t> pixels;
    Event rendered = make_event();
  };
  struct DestroyStream {
    void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  };
  using Stream = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, DestroyStream>;

  static Stream make_stream() {
    cudaStream_t made = nullptr;
    swav::detail::check_cuda(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return Stream(made);
  }
  static HostMemory pinned_memory(std::size_t bytes) {
    std::uint8_t* made = nullptr;
    swav::detail::check_cuda(cudaMallocHost(&made, bytes), "cudaMallocHost of ", bytes / 1048576, " MiB");
    return {made, [](std::uint8_t* memory) { cudaFreeHost(memory); }};
  }
  static std::vector<CropSpec> interleaved(std::vector<CropSpec> specs, Index pixel_stride) {
    for (CropSpec& spec : specs) {
      spec.layout = PixelLayout::interleaved;
      spec.pixel_stride = pixel_stride;
    }
    return specs;
  }

  template <class T>
  void render(Index batch, std::span<void* const> inputs) {
    if (resident_ == nullptr)  // its memory is given back by decode()
      swav::detail::check_cuda(cudaEventSynchronize(uploaded_.get()), "cudaEventSynchronize");
    const DecodedBatch& decoded = source_.decode(batch);
    Place& place = places_[turn_];
    const std::uint8_t* const pixels = resident_ != nullptr ? resident_ : upload(decoded, place);
    images_.assign(decoded.images.begin(), decoded.images.end());
    for (ImageView<std::uint8_t>& image : images_) image.data = pixels + (image.data - decoded.memory.data());

    std::vector<T*> outputs;
    for (std::size_t g = 0; g < inputs.size(); ++g) {
      const ImageGroup& group = source_.groups()[g];
      const Index view = source_.share() * group.size * group.size * pixel_stride_;
      for (Index v = 0; v < group.images / source_.share(); ++v)
        outputs.push_back(static_cast<T*>(inputs[g]) + v * view);
    }
    crops_.batch(images_, decoded.keys, outputs);
    swav::detail::check_cuda(cudaEventRecord(place.rendered.get(), device_.stream()), "cudaEventRecord");
    turn_ = 1 - turn_;
  }

  const std::uint8_t* upload(const DecodedBatch& decoded, Place& place) {
    using swav::detail::check_cuda;
    std::uint8_t* const to = place.pixels.reserve_ahead(static_cast<Index>(decoded.memory.size()));
    check_cuda(cudaStreamWaitEvent(copies_.get(), place.rendered.get(), 0), "cudaStreamWaitEvent");
    check_cuda(cudaMemcpyAsync(to, decoded.memory.data(), decoded.memory.size(), cudaMemcpyHostToDevice, copies_.get()),
               "cudaMemcpyAsync");
    check_cuda(cudaEventRecord(uploaded_.get(), copies_.get()), "cudaEventRecord");
    check_cuda(cudaStreamWaitEvent(device_.stream(), uploaded_.get(), 0), "cudaStreamWaitEvent");
    return to;
  }

  BatchSource& source_;
  CudaDevice device_;
  Precision precision_;
  Index pixel_stride_;
  BasicMultiCropSampler<CudaDevice> crops_;
  Event uploaded_ = make_event();
  Stream copies_;
  Place places_[2];
  int turn_ = 0;
  const std::uint8_t* resident_ = nullptr;  // the whole data set, in the first place
  std::vector<ImageView<std::uint8_t>> images_;
};

}  // namespace swav::resnet::cuda
