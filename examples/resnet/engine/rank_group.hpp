// The processes that train together, as network and trainer see them: no header of MPI's or NCCL's. In: numbers of each
// process. Out: their sums and maxima, in all of them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "swav/core/matrix_view.hpp"

namespace swav::resnet {

/// What joins the processes, "ranks". All make the same calls in the same order, with the same counts, and each ends
/// with the same bits.
class RankLink {
 public:
  virtual ~RankLink() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  virtual void sum(float* data, Index count) = 0;
  virtual void sum(double* data, Index count) = 0;
  virtual void maximum(float* data, Index count) = 0;
  virtual void maximum(double* data, Index count) = 0;
  /// The texts of all ranks, in their order. For what is rare.
  [[nodiscard]] virtual std::vector<std::string> texts(const std::string& own) = 0;
  /// Until all ranks are here, however long that takes, without work for the processor.
  virtual void wait() = 0;
  /// For the few numbers that are counts.
  virtual void maximum(int* data, Index count) = 0;
  /// This rank's number among those of its machine.
  [[nodiscard]] virtual int rank_on_machine() const = 0;
  /// What stands before a program to start it by as many ranks.
  [[nodiscard]] virtual std::string launcher() const { return "mpirun -n " + std::to_string(size()); }
};

/// A copyable handle: a swav::Communicator. As it stands, a group of one, whose calls do nothing. What a network or a
/// loss on a GPU reduces is in that GPU's memory: for a group of train/cuda/gpu_ranks.hpp.
class RankGroup {
 public:
  RankGroup() = default;
  explicit RankGroup(std::shared_ptr<RankLink> link) : link_(std::move(link)) {}

  [[nodiscard]] int rank() const { return link_ ? link_->rank() : 0; }
  [[nodiscard]] int size() const { return link_ ? link_->size() : 1; }
  [[nodiscard]] int rank_on_machine() const { return link_ ? link_->rank_on_machine() : 0; }
  [[nodiscard]] std::string launcher() const { return size() > 1 ? link_->launcher() : std::string(); }
  template <class T>
  void sum(T* data, Index count) const {
    if (link_) link_->sum(data, count);
  }
  template <class T>
  void maximum(T* data, Index count) const {
    if (link_) link_->maximum(data, count);
  }
  [[nodiscard]] std::vector<std::string> texts(const std::string& own) const {
    return link_ ? link_->texts(own) : std::vector<std::string>{own};
  }
  void wait() const {
    if (link_) link_->wait();
  }

 private:
  std::shared_ptr<RankLink> link_;
};

}  // namespace swav::resnet
