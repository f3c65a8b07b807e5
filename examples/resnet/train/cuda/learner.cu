// The learners of a GPU. In: plans. Out: learners on cuDNN and CudaDevice.
#include <map>
#include <memory>
#include <vector>

#include "engine/cuda/device.cuh"
#include "swav/backend/cuda/codes.cuh"
#include "swav/backend/cuda/evaluate_passes.cuh"
#include "swav/backend/cuda/loss.cuh"
#include "swav/backend/cuda/optim_passes.cuh"
#include "swav/backend/cuda/row_passes.cuh"
#include "swav/evaluate/basic_statistics.hpp"
#include "train/basic_learner.hpp"
#include "train/cuda/codes_apart.cuh"
#include "train/cuda/crop_loader.cuh"
#include "train/cuda/gpu_ranks.hpp"

namespace swav::resnet {
namespace {

constexpr int threads = 256;

template <class T>
__global__ void __launch_bounds__(threads) add_values(T* sums, const T* values, Index count, T share) {
  const Index i = static_cast<Index>(blockIdx.x) * threads + threadIdx.x;
  if (i < count) sums[i] += share * values[i];
}

template <class T>
__global__ void __launch_bounds__(threads) average_values(T* slow, const T* fast, Index count, T momentum) {
  const Index i = static_cast<Index>(blockIdx.x) * threads + threadIdx.x;
  if (i < count) slow[i] = momentum * slow[i] + (1 - momentum) * fast[i];
}

/// See basic_learner.hpp.
struct CudaTraining {
  static constexpr Processor processor = Processor::cuda;
  using Device = CudaDevice;
  using Plain = CudaDevice;
  using Targets = cuda::ImageTargets;
  using Unbalanced = cuda::UnbalancedCodes;
  using Loader = cuda::CropLoader;

  static const CudaDevice& device(const TrainOptions&) { return cuda::trainer_device(); }
  static const CudaDevice& plain(const TrainOptions&) { return cuda::trainer_device(); }
  static std::size_t gpu_bytes() {
    std::size_t left = 0, total = 0;
    swav::detail::check_cuda(cudaMemGetInfo(&left, &total), "cudaMemGetInfo");
    return total - left;
  }

  static void add(const CudaDevice& device, float* sums, const float* values, Index count, float share) {
    swav::detail::launch(device, (count + threads - 1) / threads, threads, add_values<float>, sums, values, count,
                         share);
  }
  static void average(const CudaDevice& device, float* slow, const float* fast, Index count, float momentum) {
    swav::detail::launch(device, (count + threads - 1) / threads, threads, average_values<float>, slow, fast, count,
                         momentum);
  }
  template <class T>
  static void copy(const CudaDevice& device, const T* from, T* to, Index count) {
    swav::detail::check_cuda(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count) * sizeof(T),
                                             cudaMemcpyDeviceToDevice, device.stream()),
                             "cudaMemcpyAsync");
  }
  static void clear(const CudaDevice& device, float* values, Index count) {
    swav::detail::check_cuda(
        cudaMemsetAsync(values, 0, static_cast<std::size_t>(count) * sizeof(float), device.stream()),
        "cudaMemsetAsync");
  }

  /// Of all ranks' embeddings in a view, of which z are this rank's.
  class Spread {
   public:
    Spread(const TrainOptions&, const RankGroup& ranks) : device_(cuda::trainer_device()), ranks_(ranks) {}
    double operator()(MatrixView<const float> z) {
      if (ranks_.size() > 1) {
        const MatrixView<float> all(all_.reserve(ranks_.size() * z.size()), ranks_.size() * z.rows, z.cols);
        clear(device_, all.data, all.size());
        copy(device_, z.data, all.row(ranks_.rank() * z.rows), z.size());
        ranks_.sum(all.data, all.size());
        z = all;
      }
      return feature_spread(z, device_, workspace_);
    }

   private:
    CudaDevice device_;
    RankGroup ranks_;
    CudaBuffer<float> all_;
    SpreadWorkspace<CudaDevice> workspace_;
  };

  /// A copy of each tensor, found by where that is on the GPU.
  class Mirror {
   public:
    explicit Mirror(const CudaDevice& device) : device_(device) {}
    [[nodiscard]] std::span<float> host(const float* values, Index count) {
      std::vector<float>& copy = copies_[values];
      copy.resize(static_cast<std::size_t>(count));
      return copy;
    }
    void download(std::span<float> values) {
      const auto count = static_cast<Index>(values.size());
      swav::detail::download(device_, values.data(), count, host(values.data(), count).data());
    }
    void upload(std::span<float> values) {
      const auto count = static_cast<Index>(values.size());
      swav::detail::upload(device_, host(values.data(), count).data(), count, values.data());
    }

   private:
    CudaDevice device_;
    std::map<const float*, std::vector<float>> copies_;
  };
};

}  // namespace

std::unique_ptr<LearnerCore> make_cuda_learner(const LearnerPlan& plan) {
  cuda::set_algorithm_choice(plan.options.tune ? cuda::AlgorithmChoice::timing : cuda::AlgorithmChoice::heuristics);
  LearnerPlan joined = plan;
  joined.ranks = cuda::join_gpus(plan.ranks);
  return std::make_unique<BasicLearner<CudaTraining>>(joined);
}

}  // namespace swav::resnet
