// A process's share of the batch that a group learns from, free of any backend. In: its samples, sums over them. Out:
// sums over the samples of all processes, the queue's rows of all.
#pragma once

#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "swav/comm/communicator.hpp"
#include "swav/core/error.hpp"
#include "swav/core/row_passes.hpp"
#include "swav/prototypes/basic_queue.hpp"

namespace swav::detail {

/// What the loss asks of its group. In a group of one all of it does nothing, but for the queue.
template <class Scalar, class Device, class Group>
class BatchShare {
  using A = Accumulator<Scalar>;
  using Rows = RowPasses<Device>;
  using Queue = EmbeddingQueue<Scalar, Device>;

 public:
  explicit BatchShare(const Group& group) : group_(group) {}

  [[nodiscard]] const Group& group() const { return group_; }

  /// Calls prepare(), which returns how many samples this process has. What it throws must be known to all before it is
  /// thrown: then all throw.
  template <class Prepare>
  void agree(Prepare prepare) {
    if (group_.size() == 1) {
      samples_ = all_ = prepare();
      return;
    }
    const auto size = static_cast<std::size_t>(group_.size()), rank = static_cast<std::size_t>(group_.rank());
    counts_.assign(size + 1, 0.0);  // the last: those that have a fault
    std::string fault;
    try {
      samples_ = prepare();
      counts_[rank] = static_cast<double>(samples_);
    } catch (const InvalidInput& error) {
      fault = error.what();
      counts_[size] = 1;
    }
    const bool sound = counts_[size] == 0;
    group_.sum(counts_.data(), static_cast<Index>(counts_.size()));
    require(sound, fault);
    if (counts_[size] != 0)
      throw InvalidElsewhere(
          "SwappedPredictionLoss: input that cannot be worked with found in another process of the group");
    const auto begin = counts_.begin();
    first_ = static_cast<Index>(std::accumulate(begin, begin + static_cast<Index>(rank), 0.0));
    all_ = static_cast<Index>(std::accumulate(begin, begin + static_cast<Index>(size), 0.0));
  }

  /// In place of agree(), where all are known to have as many samples: without a call to the group.
  void take_equal(Index samples) {
    samples_ = samples;
    first_ = samples * group_.rank();
    all_ = samples * group_.size();
  }

  /// This process's samples over those of all.
  [[nodiscard]] double part() const { return static_cast<double>(samples_) / static_cast<double>(all_); }

  /// A sum over samples and a mean of them, here, become those of all.
  void join(double& sum, double& mean) const {
    if (group_.size() == 1) return;
    double values[] = {sum, mean * part()};
    group_.sum(values, 2);
    sum = values[0];
    mean = values[1];
  }

  void sum(MatrixView<A> rows) const { group_.sum(rows.data, rows.size()); }

  /// Writes the rows of all processes to the queue, which each has whole: part by part of the batch, and process by
  /// process within one.
  void push(const Device& device, MatrixView<const A> z, Index samples, Index parts, const std::vector<int>& assigned,
            Queue& queue) {
    if (group_.size() == 1) return queue.push(z, samples, assigned);
    const auto views = static_cast<Index>(assigned.size());
    const MatrixView<A> gathered(gathered_.reserve(views * all_ * z.cols), views * all_, z.cols);
    Rows::clear(device, gathered);
    const Index here = samples / parts;
    places_.resize(assigned.size());
    std::iota(places_.begin(), places_.end(), 0);
    for (Index i = 0; i < views; ++i)
      for (Index part = 0; part < parts; ++part)
        Rows::convert(device, z.middle_rows(assigned[static_cast<std::size_t>(i)] * samples + part * here, here),
                      gathered.middle_rows(i * all_ + (part * all_ + first_) / parts, here));
    sum(gathered);
    queue.push(gathered, all_, places_);
  }

 private:
  Group group_;
  Index samples_ = 0, first_ = 0, all_ = 0;  // the first is among those of all
  std::vector<double> counts_;
  std::vector<int> places_;
  typename Device::template Buffer<A> gathered_;
};

}  // namespace swav::detail
