// Crops on the GPU: all crops of a call in one launch, not waited for. In: images in the GPU's memory, plans drawn by
// the host. Out: crops there, the CPU's to rounding.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstring>
#include <numeric>
#include <span>
#include <vector>

#include "swav/backend/cuda/crop_kernels.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/scalar.cuh"
#include "swav/backend/cuda/staging.cuh"
#include "swav/crops/passes.hpp"

namespace swav {

template <>
struct CropPasses<CudaDevice> {
  template <Pixel T, class Out>
  static void render(const CudaDevice& device, const ImageView<T>& image, const CropPlan& plan,
                     const Normalization& normalization, Out* out) {
    const CropJob<T, Out> job{image, plan, &normalization, out};
    render_all(device, std::span<const CropJob<T, Out>>(&job, 1));
  }

  template <Pixel T, class Out>
  static void render_all(const CudaDevice& device, std::span<const CropJob<T, Out>> jobs) {
    using Crop = detail::CudaCrop<T, Out>;
    Workspace& w = device.kept<Workspace>();
    const auto count = static_cast<Index>(jobs.size());
    // The largest first: they are shared out in this order.
    w.order.resize(jobs.size());
    std::iota(w.order.begin(), w.order.end(), std::size_t{0});
    const auto work = [&](std::size_t i) {
      const CropPlan& plan = jobs[i].plan;
      return plan.size * (plan.size + plan.box.width) + plan.box.height * plan.box.width;
    };
    std::stable_sort(w.order.begin(), w.order.end(), [&](std::size_t x, std::size_t y) { return work(x) > work(y); });

    Index weights = 0, room_bytes = 0;
    for (const CropJob<T, Out>& job : jobs) weights += detail::blur_radius(job.plan.photometry, job.plan.size) + 1;
    const Index crop_bytes = count * static_cast<Index>(sizeof(Crop));
    char* const host = w.staging.begin(crop_bytes + weights * static_cast<Index>(sizeof(float)));
    auto* const crops = reinterpret_cast<Crop*>(host);
    auto* const blur_weights = reinterpret_cast<float*>(host + crop_bytes);
    Index blur_at = 0;
    for (Index i = 0; i < count; ++i) {
      const Crop crop = describe(jobs[w.order[static_cast<std::size_t>(i)]], blur_at);
      detail::CropRoom room;
      room_bytes = std::max(room_bytes, detail::CropRoom::lay_out(crop.plan, crop.image.channels, crop.row_taps,
                                                                  crop.column_taps, nullptr, room));
      if (crop.blur_radius > 0) detail::blur_weights(crop.plan.photometry, crop.blur_radius, blur_weights + blur_at);
      blur_at += crop.blur_radius + 1;
      std::memcpy(static_cast<void*>(crops + i), &crop, sizeof(Crop));
    }
    const char* const sent = w.staging.send(device, crop_bytes + weights * static_cast<Index>(sizeof(float)));
    const Index blocks =
        std::clamp<Index>(room_limit / room_bytes, 1, std::min<Index>(count, 2 * device.multiprocessors()));
    detail::launch(device, blocks, detail::crop_threads, detail::render_crops<T, Out>,
                   reinterpret_cast<const Crop*>(sent), count, reinterpret_cast<const float*>(sent + crop_bytes),
                   w.memory.reserve_ahead(blocks * room_bytes), room_bytes, device.faults());
  }

  /// Enqueues the search; synchronize() throws.
  static Index first_bad_row(const CudaDevice& device, const ImageView<float>& image) {
    detail::launch(device, std::min<Index>(image.height, 2 * device.multiprocessors()), detail::crop_threads,
                   detail::check_image_values<float>, image, device.faults());
    return -1;
  }

 private:
  static constexpr Index room_limit = Index{1} << 30;  // bytes that all blocks work in, if one block can

  struct Workspace {
    detail::Staging staging;
    CudaBuffer<char> memory;
    std::vector<std::size_t> order;
  };

  template <class T, class Out>
  static detail::CudaCrop<T, Out> describe(const CropJob<T, Out>& job, Index blur_at) {
    const CropPlan& plan = job.plan;
    const Index channels = job.image.channels;
    const auto taps = [&](Index in, Index resized) {
      return ResampleAxis{in, detail::resized_side(resized, plan.size), plan.interpolation}.max_taps();
    };
    detail::CudaCrop<T, Out> crop{job.image,
                                  plan,
                                  {},
                                  taps(plan.box.height, plan.resized_height),
                                  taps(plan.box.width, plan.resized_width),
                                  detail::blur_radius(plan.photometry, plan.size),
                                  blur_at};
    crop.finish = detail::finish_of(plan, channels, *job.normalization, job.out);
    return crop;
  }
};

}  // namespace swav
