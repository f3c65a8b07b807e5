// What the loss asks of its input, free of any backend. In: the arguments of a call. Out: InvalidInput, which names the
// argument, what was found and what is wanted, or nothing.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "swav/core/error.hpp"
#include "swav/loss/code_source.hpp"

namespace swav::detail {

template <class Scalar, class Device>
struct LossChecks {
  using A = Accumulator<Scalar>;
  using Bank = PrototypeBank<Scalar, Device>;
  using Source = CodeSource<Scalar, Device>;
  using Codes = ViewCodes<Scalar, Device>;
  using Queue = EmbeddingQueue<Scalar, Device>;

  const std::vector<int>& crops_for_assign;

  void check_embeddings(MatrixView<const Scalar> z, const Bank& bank, Index views) const {
    check_view("SwappedPredictionLoss: embeddings", z);
    require(z.rows > 0, "SwappedPredictionLoss: embeddings without rows found, (views x samples) rows wanted");
    require(z.cols == bank.dimension(), "SwappedPredictionLoss: embeddings of dimension ", z.cols,
            " found, the bank's ", bank.dimension(), " wanted");
    require(views >= 2, "SwappedPredictionLoss: views ", views, " found, 2 or more wanted");
    require(z.rows % views == 0, "SwappedPredictionLoss: ", z.rows, " rows of embeddings found, a multiple of views ",
            views, " wanted");
    require(last_assigned() < views, "SwappedPredictionLoss: crops_for_assign has view ", last_assigned(),
            ", below views ", views, " wanted");
  }

  [[nodiscard]] Index last_assigned() const {
    return *std::max_element(crops_for_assign.begin(), crops_for_assign.end());
  }

  void check_code_embeddings(MatrixView<const Scalar> z, const Bank& bank, Index samples) const {
    check_view("SwappedPredictionLoss: embeddings of the codes", z);
    require(z.cols == bank.dimension(), "SwappedPredictionLoss: embeddings of the codes of dimension ", z.cols,
            " found, the bank's ", bank.dimension(), " wanted");
    require(samples > 0 && z.rows % samples == 0 && z.rows / samples > last_assigned(),
            "SwappedPredictionLoss: ", z.rows, " rows of embeddings of the codes found, ", samples,
            " of each view, to view ", last_assigned(), " at least, wanted");
  }

  void check_queue(const Queue* queue, const Bank& bank) const {
    if (queue == nullptr) return;
    const auto assigned = static_cast<Index>(crops_for_assign.size());
    require(queue->views() == assigned && queue->dimension() == bank.dimension(), "SwappedPredictionLoss: a queue of ",
            queue->views(), " views and dimension ", queue->dimension(), " found, ", assigned,
            " (crops_for_assign) and the bank's ", bank.dimension(), " wanted");
  }

  void check_source(const Source& source, const Bank& bank, Index samples) const {
    if (source.codes != nullptr) return check_codes(source, bank, samples);
    if (source.embeddings.data != nullptr) check_code_embeddings(source.embeddings, bank, samples);
    require(source.bank == nullptr || (source.bank->head_prototypes() == bank.head_prototypes() &&
                                       source.bank->dimension() == bank.dimension()),
            "CodeSource.bank: other heads or another dimension than the bank's found, the same wanted");
    check_queue(source.queue, bank);
  }

  void check_codes(const Source& source, const Bank& bank, Index samples) const {
    const Codes& codes = *source.codes;
    require(source.queue == nullptr && source.bank == nullptr && source.embeddings.data == nullptr,
            "CodeSource.codes: found beside embeddings, a bank or a queue, codes alone wanted");
    require(source.first_sample >= 0 && source.first_sample + samples <= codes.samples,
            "CodeSource.first_sample: samples ", source.first_sample, " to ", source.first_sample + samples,
            " found, of the ", codes.samples, " of the codes wanted");
    const Index assigned = codes.of_samples ? 1 : static_cast<Index>(crops_for_assign.size());
    require(codes.heads.size() == bank.head_prototypes().size(), "CodeSource.codes: ", codes.heads.size(),
            " heads found, the bank's ", bank.head_prototypes().size(), " wanted");
    for (std::size_t head = 0; head < codes.heads.size(); ++head)
      require(codes.heads[head].rows() == assigned * codes.samples &&
                  codes.heads[head].cols() == bank.head_prototypes()[head],
              "CodeSource.codes: codes of shape ", codes.heads[head].rows(), " x ", codes.heads[head].cols(),
              " found, ", assigned * codes.samples, " x ", bank.head_prototypes()[head], " wanted");
  }

  static void check_largest(double largest, const char* name) {
    require(largest <= static_cast<double>(std::numeric_limits<A>::max()) / 8, "SwappedPredictionLoss: ", name,
            " up to ", largest, " found, within the scalar's range wanted");
  }
};

}  // namespace swav::detail
