// Ranks joined by NCCL. In: processes, their machines' GPUs. Out: a group that reduces what is in their memory.
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/cuda/device.cuh"
#include "swav/comm/nccl.cuh"
#include "train/cuda/gpu_ranks.hpp"

namespace swav::resnet::cuda {
namespace {

using swav::detail::check_cuda;

class NcclLink final : public RankLink {
 public:
  explicit NcclLink(RankGroup hosts) : hosts_(std::move(hosts)), gpus_(trainer_device(), hosts_) {}
  [[nodiscard]] int rank() const override { return hosts_.rank(); }
  [[nodiscard]] int size() const override { return hosts_.size(); }
  [[nodiscard]] int rank_on_machine() const override { return hosts_.rank_on_machine(); }
  void sum(float* data, Index count) override { sum_where_it_is(data, count); }
  void sum(double* data, Index count) override { sum_where_it_is(data, count); }
  void maximum(float* data, Index count) override { maximum_where_it_is(data, count); }
  void maximum(double* data, Index count) override { maximum_where_it_is(data, count); }
  void maximum(int* data, Index count) override { maximum_where_it_is(data, count); }
  [[nodiscard]] std::vector<std::string> texts(const std::string& own) override { return hosts_.texts(own); }
  void wait() override { hosts_.wait(); }

 private:
  template <class T>
  void sum_where_it_is(T* data, Index count) {
    swav::detail::is_on_gpu(data) ? gpus_.sum(data, count) : hosts_.sum(data, count);
  }
  template <class T>
  void maximum_where_it_is(T* data, Index count) {
    swav::detail::is_on_gpu(data) ? gpus_.maximum(data, count) : hosts_.maximum(data, count);
  }

  RankGroup hosts_;
  NcclCommunicator gpus_;
};

// A launcher may show each rank all GPUs of the machine, or one of its own: what they are is asked of them.
void choose_gpu(const RankGroup& ranks) {
  int count = 0, chosen = 0;
  check_cuda(cudaGetDeviceCount(&count), "--device cuda: no GPU to work on: cudaGetDeviceCount");
  chosen = ranks.rank_on_machine() % count;
  check_cuda(cudaSetDevice(chosen), "cudaSetDevice");
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, chosen), "cudaGetDeviceProperties");
  const std::vector<std::string> all =
      ranks.texts(std::string(std::begin(properties.uuid.bytes), std::end(properties.uuid.bytes)));
  const auto different = std::set<std::string>(all.begin(), all.end()).size();
  swav::detail::require(different == all.size(), "--device: cuda found with ", all.size(), " ranks and ", different,
                        different == 1 ? " GPU" : " GPUs", ", one a rank on each machine wanted");
}

}  // namespace

RankGroup join_gpus(const RankGroup& ranks) {
  if (ranks.size() == 1) return {};
  static const auto& link = [&]() -> const std::shared_ptr<NcclLink>& {
    choose_gpu(ranks);
    return *new std::shared_ptr<NcclLink>(std::make_shared<NcclLink>(ranks));
  }();
  return RankGroup(link);
}

}  // namespace swav::resnet::cuda
