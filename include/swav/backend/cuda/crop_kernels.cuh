// The kernel of the crops: a block renders a crop from its box to its output, by the steps of the CPU and the functors
// of Thrust's passes. In: crops' plans, images in the GPU's memory. Out: crops.
#pragma once

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/thrust/crop_pixels.hpp"
#include "swav/crops/passes.hpp"

namespace swav::detail {

inline constexpr int crop_threads = 512;
inline constexpr Index crop_strip = 8;  // output rows that are resampled at a time

template <class T, class Out>
struct CudaCrop {
  ImageView<T> image;
  CropPlan plan;
  FinishPixel<Out> finish;                            // but for its planes
  Index row_taps, column_taps, blur_radius, blur_at;  // blur_at: where its weights are
};

/// What a crop works in, one part after the other in a block's memory.
struct CropRoom {
  ResampleAxis::Window *rows, *columns;
  float *row_weights, *column_weights, *strip, *planes, *blurred;

  /// Returns the bytes that all of it takes.
  SWAV_HOST_DEVICE static Index lay_out(const CropPlan& plan, Index channels, Index row_taps, Index column_taps,
                                        char* memory, CropRoom& room) {
    Index bytes = 0;
    const auto take = [&]<class U>(U*& part, Index count) {
      part = reinterpret_cast<U*>(memory + bytes);
      bytes += (count * static_cast<Index>(sizeof(U)) + 15) / 16 * 16;
    };
    const Index pixels = plan.size * plan.size;
    take(room.rows, plan.size);
    take(room.columns, plan.size);
    take(room.row_weights, plan.size * row_taps);
    take(room.column_weights, plan.size * column_taps);
    take(room.strip, crop_strip * plan.box.width * channels);
    take(room.planes, channels * pixels);
    take(room.blurred, channels * pixels);
    return bytes;
  }
};

/// body(i), i < count, by the threads of the block.
template <class Body>
__device__ void for_block_indices(Index count, Body body) {
  for (Index i = threadIdx.x; i < count; i += blockDim.x) body(i);
}
/// body(row, column), a row a warp.
template <class Body>
__device__ void for_block_entries(Index rows, Index cols, Body body) {
  const auto warp = static_cast<Index>(threadIdx.x) / warp_threads,
             lane = static_cast<Index>(threadIdx.x) % warp_threads;
  for (Index r = warp; r < rows; r += static_cast<Index>(blockDim.x) / warp_threads)
    for (Index c = lane; c < cols; c += warp_threads) body(r, c);
}

template <class T, class Out>
__device__ void resample_crop(const CudaCrop<T, Out>& crop, const CropRoom& room) {
  const CropPlan& plan = crop.plan;
  const Index size = plan.size, channels = crop.image.channels;
  const Box box = plan.box;
  constexpr float unit = sizeof(T) == 1 ? 1.0f / 255.0f : 1.0f;
  const AxisWindows rows{room.rows, room.row_weights, crop.row_taps};
  const AxisWindows columns{room.columns, room.column_weights, crop.column_taps};
  const auto axis = [&](Index in, Index resized) {
    return ResampleAxis{in, resized > 0 ? resized : size, plan.interpolation};
  };
  const MakeWindow of_rows{axis(box.height, plan.resized_height), plan.window_top, size, false, unit, rows};
  const MakeWindow of_columns{axis(box.width, plan.resized_width), plan.window_left, size, plan.flip, 1.0f, columns};
  for_block_indices(size, of_rows);
  for_block_indices(size, of_columns);
  __syncthreads();
  for (Index first = 0; first < size; first += crop_strip) {
    const Index height = size - first < crop_strip ? size - first : crop_strip;
    const AxisWindows of_strip{rows.windows + first, rows.weights + first * rows.taps, rows.taps};
    for_block_entries(height, box.width * channels, CombineRows<T>{crop.image, box, of_strip, room.strip});
    __syncthreads();
    const CombineColumns combine{room.strip,
                                 box.width,
                                 channels,
                                 size,
                                 columns,
                                 plan.interpolation == Interpolation::bicubic,
                                 room.planes + first * size};
    for (Index channel = 0; channel < channels; ++channel)
      for_block_entries(height, size, [&](Index y, Index x) { combine.write(y, x, channel); });
    __syncthreads();
  }
}

template <class T, class Out>
__device__ void color_crop(const CudaCrop<T, Out>& crop, const CropRoom& room, BlockScratch<double, 1>& sums,
                           double& luma_sum, int& turn) {
  const Photometry& photometry = crop.plan.photometry;
  const Index pixels = crop.plan.size * crop.plan.size;
  const bool is_color = crop.image.channels >= 3;
  const auto is_contrast = [&](int s) { return photometry.steps[s].operation == ColorOperation::contrast; };
  int first = 0;
  do {
    if (first < photometry.step_count && is_contrast(first)) {
      const LumaOfPixel luma{room.planes, pixels, is_color};
      double sum[1] = {0};
      for_block_indices(pixels, [&](Index i) { sum[0] += luma(0, i); });
      reduce_block(sum, CudaAdd(), sums, turn);
      if (threadIdx.x == 0) luma_sum = sum[0];
      __syncthreads();
    }
    int last = first + 1 < photometry.step_count ? first + 1 : photometry.step_count;
    while (last < photometry.step_count && !is_contrast(last)) ++last;
    const bool grayscale = photometry.grayscale && last == photometry.step_count;
    if (last > first || grayscale)
      for_block_indices(pixels,
                        ColorPixel{photometry, first, last, grayscale, &luma_sum, room.planes, pixels, is_color});
    __syncthreads();
    first = last;
  } while (first < photometry.step_count);
}

/// Returns the planes that hold the result.
template <class T, class Out>
__device__ const float* blur_crop(const CudaCrop<T, Out>& crop, const CropRoom& room, const float* weights) {
  const Photometry& photometry = crop.plan.photometry;
  const Index size = crop.plan.size;
  float *from = room.planes, *to = room.blurred;
  if (crop.blur_radius == 0) return from;
  const bool is_box = photometry.blur_filter == BlurFilter::box;
  const int passes = blur_passes(photometry.blur_filter);
  for (int pass = 0; pass < 2 * passes; ++pass) {
    for_block_entries(
        crop.image.channels * size, size,
        BlurPixel{from, to, weights, crop.blur_radius, size, pass >= passes, is_box, is_box && pass == 0});
    __syncthreads();
    float* const swapped = from;
    from = to;
    to = swapped;
  }
  return from;
}

/// Blocks take one crop after the other; each has `room_bytes` of `memory`. Nothing is written while there is a fault.
template <class T, class Out>
__global__ void __launch_bounds__(crop_threads)
    render_crops(const CudaCrop<T, Out>* crops, Index count, const float* blur_weights, char* memory, Index room_bytes,
                 const int* faults) {
  __shared__ BlockScratch<double, 1> sums;
  __shared__ double luma_sum;
  int turn = 0;
  if (*faults != 0) return;
  for (Index number = blockIdx.x; number < count; number += gridDim.x) {
    const CudaCrop<T, Out>& crop = crops[number];
    CropRoom room;
    CropRoom::lay_out(crop.plan, crop.image.channels, crop.row_taps, crop.column_taps,
                      memory + static_cast<Index>(blockIdx.x) * room_bytes, room);
    resample_crop(crop, room);
    color_crop(crop, room, sums, luma_sum, turn);
    FinishPixel<Out> finish = crop.finish;
    finish.planes = blur_crop(crop, room, blur_weights + crop.blur_at);
    for_block_entries(crop.image.channels * crop.plan.size, crop.plan.size, finish);
    __syncthreads();
  }
}

/// Raises bad_pixels where a value is not finite.
template <class T>
__global__ void __launch_bounds__(crop_threads) check_image_values(ImageView<T> image, int* faults) {
  const Index values = image.width * image.channels;
  bool finite = true;
  for (Index y = blockIdx.x; y < image.height; y += gridDim.x)
    for_block_indices(values, [&](Index i) {
      const float value = image.data[y * image.stride() + i];
      if (!(value - value == 0.0f)) finite = false;
    });
  if (!finite) atomicOr(faults, int{bad_pixels});
}

}  // namespace swav::detail
