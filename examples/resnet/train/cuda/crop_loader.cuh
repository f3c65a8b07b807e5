// Crops on the GPU. In: images of the host, decoded or as JPEG files. Out: the crops that the CPU would render, in a
// network's images.
//
// Batches are copied beside the step before, and all crops of one rendered in one launch. The host waits for the copy
// of the last batch, which was done long ago where a step is of one batch; with more, for the place that batch is in. A
// data set in memory is copied once, as a whole, where it takes no more than a quarter of what the GPU has left.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "data/image_decoder.hpp"
#include "engine/cuda/device.cuh"
#include "model/network.hpp"
#include "swav/backend/cuda/crop_passes.cuh"
#include "swav/crops/basic_multi_crop.hpp"
#include "train/batch_source.hpp"
#include "train/cuda/image_upload.cuh"
#include "train/cuda/jpeg_decoder.cuh"

namespace swav::resnet::cuda {

class CropLoader {
 public:
  /// `source` outlives this; batches are for `network`, or for memory like its images'.
  CropLoader(BatchSource& source, Network& network, bool decodes)
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
      swav::detail::upload(device_, all.data(), bytes, resident_.reserve(bytes));
    } else {
      upload_.emplace();
      if (decodes) jpegs_ = make_jpeg_decoder(upload_->bringer());
      source.set_memory(ImageUpload::pinned_memory);
    }
  }

  /// Enqueues the crops of a batch, for inputs[g] of each group.
  void load(Index batch, std::span<void* const> inputs) {
    if (precision_ == Precision::float32)
      render<float>(batch, inputs);
    else
      render<__nv_bfloat16>(batch, inputs);
  }

 private:
  static std::vector<CropSpec> interleaved(std::vector<CropSpec> specs, Index pixel_stride) {
    for (CropSpec& spec : specs) {
      spec.layout = PixelLayout::interleaved;
      spec.pixel_stride = pixel_stride;
    }
    return specs;
  }

  template <class T>
  void render(Index batch, std::span<void* const> inputs) {
    if (upload_) upload_->wait();  // its memory is given back by decode()
    const DecodedBatch& decoded = source_.decode(batch);
    images_.assign(decoded.images.begin(), decoded.images.end());
    if (jpegs_) {
      decode(decoded);
    } else {
      const std::uint8_t* const pixels = upload_ ? upload_->upload(decoded.memory) : resident_.data();
      for (ImageView<std::uint8_t>& image : images_) image.data = pixels + (image.data - decoded.memory.data());
    }

    std::vector<T*> outputs;
    for (std::size_t g = 0; g < inputs.size(); ++g) {
      const ImageGroup& group = source_.groups()[g];
      const Index view = source_.share() * group.size * group.size * pixel_stride_;
      for (Index v = 0; v < group.images / source_.share(); ++v)
        outputs.push_back(static_cast<T*>(inputs[g]) + v * view);
    }
    crops_.batch(images_, decoded.keys, outputs);
    if (upload_) upload_->release();
  }

  /// A place on the GPU for each image of the batch, and what brings its pixels there.
  void decode(const DecodedBatch& batch) {
    constexpr Index alignment = 16;
    const auto bytes = [](const ImageView<std::uint8_t>& image) { return image.height * image.stride(); };
    Index all = 0;
    for (const ImageView<std::uint8_t>& image : batch.images)
      all += (bytes(image) + alignment - 1) / alignment * alignment;
    std::uint8_t* to = upload_->begin(all);
    jobs_.clear(), by_host_.clear();
    for (std::size_t i = 0; i < images_.size(); ++i) {
      ImageView<std::uint8_t>& image = images_[i];
      if (image.data == nullptr)
        jobs_.push_back({batch.jpegs[i], image.height, image.width, to});
      else
        upload_->copy({image.data, static_cast<std::size_t>(bytes(image))}, to);
      image.data = to;
      to += (bytes(image) + alignment - 1) / alignment * alignment;
    }
    for (const std::size_t refused : jpegs_->decode(jobs_)) {
      DecodedImage& image = by_host_.emplace_back();
      decoder_.decode(jobs_[refused].file.bytes, "a JPEG file that nvJPEG does not take", image);
      upload_->copy(image.pixels, jobs_[refused].to);
    }
    upload_->finish();
  }

  BatchSource& source_;
  CudaDevice device_;
  Precision precision_;
  Index pixel_stride_;
  BasicMultiCropSampler<CudaDevice> crops_;
  CudaBuffer<std::uint8_t> resident_;  // the whole data set, or
  std::optional<ImageUpload> upload_;  // what copies a batch of it
  std::vector<ImageView<std::uint8_t>> images_;
  std::unique_ptr<JpegDecoder> jpegs_;
  std::vector<JpegJob> jobs_;
  ImageDecoder decoder_;
  std::deque<DecodedImage> by_host_;  // what the host has decoded of the last batch
};

}  // namespace swav::resnet::cuda
