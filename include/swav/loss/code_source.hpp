// Where a call of the loss takes its codes from. In: another network's embeddings, a queue, codes that several calls
// share. Out: one aggregate to hand in. Free of any backend.
#pragma once

#include <vector>

#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/prototypes/basic_bank.hpp"
#include "swav/prototypes/basic_queue.hpp"

namespace swav {

/// Codes of the assigned views, by SwappedPredictionLoss::codes_into; or codes of the samples themselves, by the user:
/// clusters found otherwise, say, as one-hot rows.
template <class Scalar, class Device = EigenDevice>
struct ViewCodes {
  /// A matrix a head, (|A| samples) x K: row i samples + b is sample b in view crops_for_assign[i].
  std::vector<typename Device::template Matrix<Accumulator<Scalar>>> heads = {};
  Index samples = 0;
  /// One code a sample (heads are samples x K), which all views predict: L is the mean over heads, views and samples of
  /// -q . log softmax, and crops_for_assign is not read.
  bool of_samples = false;
};

/// Where codes come from. As it stands: from the embeddings that predict them. No gradient flows through any of it.
template <class Scalar, class Device = EigenDevice>
struct CodeSource {
  /// Codes are of these, and not of the embeddings that predict: those of a momentum encoder, say. View-major with the
  /// same samples; views after the last of crops_for_assign may be missing.
  MatrixView<const Scalar> embeddings = {};
  /// Codes are over these prototypes, as many as the bank has that predicts; null: that bank's.
  const PrototypeBank<Scalar, Device>* bank = nullptr;
  /// Its rows stand above the batch's when codes are computed; the batch is written to it afterwards.
  EmbeddingQueue<Scalar, Device>* queue = nullptr;
  /// The codes themselves, of a larger batch: the call's samples are those from first_sample on. Nothing else may be
  /// set then.
  const ViewCodes<Scalar, Device>* codes = nullptr;
  Index first_sample = 0;
};

}  // namespace swav
