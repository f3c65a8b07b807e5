// The learners of the CPU. In: plans. Out: learners on oneDNN and Eigen.
#include <algorithm>

#include "swav/evaluate/statistics.hpp"
#include "swav/loss/swapped_prediction.hpp"
#include "swav/optim/adamw.hpp"
#include "swav/optim/sgd.hpp"
#include "swav/prototypes/queue.hpp"
#include "train/basic_learner.hpp"
#include "train/image_targets.hpp"
#include "train/loss_device.hpp"
#include "train/unbalanced_codes.hpp"

namespace swav::resnet {
namespace {

/// See basic_learner.hpp.
struct CpuTraining {
  static constexpr Processor processor = Processor::cpu;
  using Device = LossDevice;
  using Plain = EigenDevice;
  using Targets = ImageTargets;
  using Unbalanced = UnbalancedCodes;

  static Device device(const TrainOptions& options) { return Device(options.threads); }
  static Plain plain(const TrainOptions& options) { return Plain(options.threads); }
  static std::size_t gpu_bytes() { return 0; }

  static void add(const Device&, float* sums, const float* values, Index count, float share) {
#pragma omp parallel for schedule(static)
    for (Index i = 0; i < count; ++i) sums[i] += share * values[i];
  }
  static void average(const Device&, float* slow, const float* fast, Index count, float momentum) {
#pragma omp parallel for schedule(static)
    for (Index i = 0; i < count; ++i) slow[i] = momentum * slow[i] + (1 - momentum) * fast[i];
  }
  template <class T>
  static void copy(const Device&, const T* from, T* to, Index count) {
    std::copy_n(from, count, to);
  }
  static void clear(const Device&, float* values, Index count) { std::fill_n(values, count, 0.0f); }

  /// Crops of the source's own.
  class Loader {
   public:
    Loader(BatchSource& source, Network&, bool) : source_(source) {}
    void load(Index batch, std::span<void* const> inputs) {
      planes_.clear();
      for (void* const input : inputs) planes_.push_back(static_cast<float*>(input));
      source_.load(batch, planes_);
    }

   private:
    BatchSource& source_;
    std::vector<float*> planes_;
  };

  /// Of all ranks' embeddings in a view, of which z are this rank's.
  class Spread {
   public:
    Spread(const TrainOptions& options, const RankGroup& ranks) : device_(options.threads), ranks_(ranks) {
      if (ranks_.size() > 1) all_.resize(options.batch_size, options.embedding);
    }
    double operator()(MatrixView<const float> z) {
      if (ranks_.size() > 1) {
        all_.setZero();
        all_.middleRows(ranks_.rank() * z.rows, z.rows) = swav::detail::as_eigen(z);
        ranks_.sum(all_.data(), all_.size());
        z = all_;
      }
      return feature_spread(z, device_, workspace_);
    }

   private:
    EigenDevice device_;
    RankGroup ranks_;
    RowMatrix<float> all_;
    SpreadWorkspace<EigenDevice> workspace_;
  };

  /// The host has the state itself.
  class Mirror {
   public:
    explicit Mirror(const Plain&) {}
    static std::span<float> host(float* values, Index count) { return {values, static_cast<std::size_t>(count)}; }
    void download(std::span<float>) {}
    void upload(std::span<float>) {}
  };
};

}  // namespace

std::unique_ptr<LearnerCore> make_cpu_learner(const LearnerPlan& plan) {
  return std::make_unique<BasicLearner<CpuTraining>>(plan);
}

}  // namespace swav::resnet
