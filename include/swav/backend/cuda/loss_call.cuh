// What the kernels of a loss are told. In: options, shapes. Out: a call's constants.
#pragma once

#include <algorithm>

#include "swav/backend/cuda/device.cuh"
#include "swav/loss/options.hpp"

namespace swav::detail {

inline constexpr int most_assigned = 32;  // views whose codes the others predict

/// One call's shapes and constants, by value: a captured call has no host memory to look at.
template <class A>
struct LossCall {
  Index views, samples;
  A inverse_temperature;
  A pair_weight;  // c = 1/(|A| (V - 1) B), and over the heads
  int assigned_count;
  int assigned[most_assigned];
  int* faults;

  __device__ int predictions(Index view) const {
    int count = 0;
    for (int i = 0; i < assigned_count; ++i) count += assigned[i] != view ? 1 : 0;
    return count;
  }
};

/// The predictions of `assigned` views by `views - 1` others each, of the samples of all processes; the mean over
/// heads.
template <class A>
[[nodiscard]] LossCall<A> describe_loss(const SwappedPredictionOptions& options, const CudaDevice& device,
                                        Index samples, Index views, std::size_t heads, int processes) {
  LossCall<A> call{};
  call.views = views;
  call.samples = samples;
  call.inverse_temperature = static_cast<A>(1.0 / options.temperature);
  const auto assigned = options.crops_for_assign.size();
  require(assigned <= most_assigned, "SwappedPredictionOptions.crops_for_assign: ", assigned, " views found, at most ",
          most_assigned, " wanted on a GPU");
  call.assigned_count = static_cast<int>(assigned);
  std::copy(options.crops_for_assign.begin(), options.crops_for_assign.end(), call.assigned);
  call.pair_weight = static_cast<A>(1.0 / (static_cast<double>(assigned) * static_cast<double>(views - 1) *
                                           static_cast<double>(samples) * processes * static_cast<double>(heads)));
  call.faults = device.faults();
  return call;
}

/// Makes them those of codes of the samples themselves, by all views: as if the codes were of one that does not
/// predict.
template <class A>
void predict_in_all_views(LossCall<A>& call, std::size_t heads, int processes) {
  call.assigned_count = 1;
  call.assigned[0] = -1;
  call.pair_weight = static_cast<A>(1.0 / (static_cast<double>(call.views) * static_cast<double>(call.samples) *
                                           processes * static_cast<double>(heads)));
}

}  // namespace swav::detail
